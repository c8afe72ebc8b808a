"""Media of a node trace, from its record to what its span says of them.

    record.media [bytes]  +  {"media": 0, "name": …} in its values
         │ files_of
         ▼
    File                  +  {"name": …, "content_type": …, "attach_to": …, "size": …, "sha256": …} there

The bytes go where the store keeps them, each once; the reference stays in the content, and all of a span's
stand in its attribute ``hush.media``. Without bytes a reference has ``missing``, which says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from hush_otel import records

from .nodes import NODE_FIELDS

MEDIA_ATTRIBUTE: Final = "hush.media"
"""JSON list of the references of a span, in the order of its attachments."""

_CONTENT: Final = tuple(NODE_FIELDS.index(field) for field in ("input_data", "output_data", "metadata"))
_MAX_REASON_CHARS: Final = 200
_DEFAULT_TYPE: Final = "application/octet-stream"


class File(NamedTuple):
    """One attachment: what its span says of it, and its bytes with their SHA-256. Both b"" when missing."""

    reference: dict[str, Any]
    data: bytes = b""
    digest: bytes = b""

    @property
    def content_type(self) -> str:
        """As it was given."""
        found = self.reference.get("content_type")
        return found if type(found) is str else _DEFAULT_TYPE


def files_of(record: records.Node) -> Sequence[File]:
    """The attachments that a node's content refers to; there the references take their final form.

    After redaction: what hides a reference leaves its bytes unstored. Never raises.
    """
    if not record.media:
        return ()
    files: list[File] = []
    for place in _CONTENT:
        for reference in _references(record.values[place] if place < len(record.values) else None):
            file = _file(reference, record.media)
            reference.clear()
            reference.update(file.reference)
            files.append(file)
    return files


def references(files: Sequence[File]) -> list[dict[str, Any]]:
    """What the attribute says."""
    return [file.reference for file in files]


def _references(content: object) -> Iterator[dict[str, Any]]:
    listed = content.get(records.MEDIA_KEY) if type(content) is dict else None
    if type(listed) is list:
        yield from (one for one in listed if type(one) is dict)


def _file(given: dict[str, Any], media: list[Any]) -> File:
    number = given.get(records.MEDIA_NUMBER)
    found = media[number] if type(number) is int and 0 <= number < len(media) else None
    said = {key: value for key, value in given.items() if key != records.MEDIA_NUMBER}
    if type(found) is bytes:
        digest = sha256(found)
        return File(said | {"size": len(found), "sha256": digest.hexdigest()}, found, digest.digest())
    is_reason = type(found) is str and len(found) <= _MAX_REASON_CHARS
    return File(said | {"missing": found if is_reason else "lost"})
