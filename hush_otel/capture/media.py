"""Files that belong to a node trace: what stands under ``__media__`` of its input, output or metadata.

    {"__media__": {"chart": {"bytes": png, "content_type": "image/png", "attach_to": "output"}}}
                      │ take_media, in the app
                      ▼
    {"__media__": [{"media": 0, "name": "chart", "content_type": …, "attach_to": …}]}   and   [png]

Under the key stands one attachment, a list of them, or a mapping from names to them. An attachment is a
mapping, or an object with attributes, of:

| field | value |
|---|---|
| ``bytes``, ``base64`` or ``data`` | bytes; base64 text; a ``data:`` URL (RFC 2397) |
| ``path`` | a regular file, which is read here and now; never a link, a pipe or a device |
| ``content_type`` | default: the data URL's, else ``application/octet-stream`` |
| ``attach_to`` | ``input``, ``output`` or ``metadata``; default: where it stands |
| ``name`` | default: its key in the mapping, else the last part of the path |

What cannot be taken (too large, no file, no base64) is a text in place of the bytes that says why.
"""

from __future__ import annotations

import binascii
import os
import stat
from collections import UserDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from opentelemetry.attributes import BoundedAttributes

from hush_otel.codec import ENCODER, MAX_RECORD_BYTES
from hush_otel.records import MEDIA_KEY, MEDIA_NUMBER
from hush_otel.signalled import let_through

MAX_FILE_BYTES: Final = 10 * 1024 * 1024
"""Of one attachment."""
MAX_FILES: Final = 100
"""Of one node."""
MAX_TEXT_CHARS: Final = 255
"""Of a name or a content type."""
_MAX_NODE_BYTES: Final = MAX_RECORD_BYTES - 1024 * 1024
"""Of a record with its attachments. The rest is room for what redaction may make longer."""
_HEAD_BYTES: Final = 5
"""Before a list, or before bytes (msgpack specification, array 32 and bin 32)."""

INPUT: Final = 9
OUTPUT: Final = 10
METADATA: Final = 19
_PLACES: Final = {INPUT: "input", OUTPUT: "output", METADATA: "metadata"}
"""Where the three stand among the values of a node record, and what `attach_to` calls them."""

_BYTES: Final = (bytes, bytearray, memoryview)
SCALARS: Final = frozenset({type(None), bool, int, float, str})
"""Types of values that hold no others."""
_DEFAULT_TYPE: Final = "application/octet-stream"
_TOO_LARGE: Final = f"too large: more than {MAX_FILE_BYTES} bytes"
_NO_ROOM: Final = "too large: no room beside the rest of its node"


class _RefusedError(Exception):
    """Why an attachment cannot be taken; never with its path or content."""


class _Taken(NamedTuple):
    """An attachment: its bytes, or why there are none, and what its `data:` URL or path says of it."""

    data: bytes | str
    content_type: str = ""
    name: str = ""


def has_media(content: object) -> bool:
    """Whether a mapping that is no dict has attachments. Never raises.

    In a dict the key is reserved. In another mapping it may be content: a number or a text is left alone.
    """
    found = as_dict(content)
    return found is not None and _has_key(found) and type(found[MEDIA_KEY]) not in SCALARS


def _has_key(content: dict[Any, Any]) -> bool:
    """Whether the key is there; one that looks like it may be compared by its own code, or under ``-bb``."""
    try:
        return MEDIA_KEY in content
    except Exception as exc:  # noqa: BLE001 - content that is a key's own affair
        let_through(exc)
        return False


def as_dict(value: Any) -> dict[Any, Any] | None:
    """Every mapping that the encoder takes for one; None for anything else. Never raises."""
    kind = type(value)
    try:
        if issubclass(kind, dict):
            # dict.items: a subclass may have overridden its own.
            return value if kind is dict else dict(dict.items(value))
        if issubclass(kind, UserDict):
            return as_dict(value.data)
        if issubclass(kind, (MappingProxyType, BoundedAttributes)):
            return dict(value)
    except Exception as exc:  # noqa: BLE001 - a user's mapping within a proxy
        let_through(exc)
    return None


def take_media(values: Sequence[Any]) -> tuple[list[Any], list[bytes | str]]:
    """The values of a node record with references in place of attachments, and what those refer to.

    Files are read, at most 16 MiB altogether. The caller's objects are not changed.

    Args:
        values: As `NodeTraces.write` gets them.
    """
    kept, files = list(values), list[bytes | str]()
    room = _MAX_NODE_BYTES
    for place, side in _PLACES.items():
        if type(values[place]) is not dict and not has_media(values[place]):
            continue
        content = as_dict(values[place])
        if content is None or not _has_key(content):
            continue
        references: list[dict[str, Any]] = []
        for key, given in _attachments(content[MEDIA_KEY]):
            fields = _fields(given)
            taken = _take(fields, room) if len(files) < MAX_FILES else _Taken(f"more than {MAX_FILES} files")
            room -= len(taken.data)
            references.append({MEDIA_NUMBER: len(files), **_described(fields, key, side, taken)})
            files.append(taken.data)
            if len(files) > MAX_FILES:
                break
        kept[place] = {**content, MEDIA_KEY: references}
    return kept, files


def with_media(payload: bytes, files: list[bytes | str]) -> bytes:
    """An encoded node record with its attachments behind it.

    Args:
        payload: Of four elements.
        files: What `take_media` took. What has no room any more becomes a text that says so.
    """
    room = _MAX_NODE_BYTES - len(payload) - _HEAD_BYTES
    for number, data in enumerate(files):
        if type(data) is bytes and len(data) + _HEAD_BYTES > room:
            files[number] = data = _NO_ROOM  # noqa: PLW2901
        room -= len(data) + _HEAD_BYTES
    # One element more than it has (msgpack specification, fixarray). Bytes stay out of `encode`, which would
    # cut them to have a large record fit.
    return b"".join((bytes((payload[0] + 1,)), memoryview(payload)[1:], ENCODER.encode(files)))


# ------------------------------------------------------------------ what was given


def _attachments(given: object) -> Iterator[tuple[str, object]]:
    """Each attachment with its key; one that stands alone, or in a list, has none."""
    if issubclass(type(given), (list, tuple)):
        yield from (("", one) for one in given)  # type: ignore[attr-defined]
    elif (named := as_dict(given)) is not None and not _is_attachment(named):
        yield from ((key if type(key) is str else "", one) for key, one in list(named.items()))
    else:
        yield "", given


def _is_attachment(given: Mapping[Any, Any]) -> bool:
    """Told from a mapping of names by what stands under its keys: bytes or text, no further mapping."""
    return any(type(given.get(key)) in (str, *_BYTES) or _is_path(given.get(key)) for key in _SOURCES)


def _fields(given: object) -> Mapping[Any, Any]:
    """An attachment's fields. Of an object as they lie in it: no property of a user's runs."""
    if (own := as_dict(given)) is not None:
        return own
    if issubclass(type(given), _BYTES):
        return {"bytes": given}
    try:
        fields = getattr(given, "__dict__", None)
    except Exception as exc:  # noqa: BLE001 - a user's __getattribute__
        let_through(exc)
        return {}
    return fields if type(fields) is dict else {}


def _take(fields: Mapping[Any, Any], room: int) -> _Taken:
    """The bytes, or why there are none."""
    try:
        for key, take in _SOURCES.items():
            source = fields.get(key)
            if source is not None:
                return take(source, min(MAX_FILE_BYTES, max(room, 0)))
    except _RefusedError as why:
        return _Taken(str(why), name=_last_part(fields.get("path")))
    except Exception as exc:  # noqa: BLE001 - whatever was given, the node itself is recorded
        let_through(exc)
        return _Taken(f"unusable: {type(exc).__name__}")
    return _Taken("neither bytes, base64 nor path")


def _described(fields: Mapping[Any, Any], key: str, side: str, taken: _Taken) -> dict[str, Any]:
    attach_to = fields.get("attach_to")
    return {
        "name": _text(fields.get("name")) or _text(key) or _text(taken.name) or None,
        "content_type": _text(fields.get("content_type")) or _text(taken.content_type) or _DEFAULT_TYPE,
        "attach_to": attach_to if type(attach_to) is str and attach_to in _PLACES.values() else side,
    }


def _text(value: object) -> str:
    return value[:MAX_TEXT_CHARS] if type(value) is str else ""


# ------------------------------------------------------------------ where the bytes are


def _from_value(source: Any, most: int) -> _Taken:
    """Bytes as they are, text as base64 or a `data:` URL."""
    if issubclass(type(source), str):
        return _from_text(str.__str__(source), most)
    if not issubclass(type(source), _BYTES):
        raise _RefusedError("neither bytes nor text")
    view = memoryview(source)  # a subclass may have overridden __len__ and __bytes__
    _check(view.nbytes, most)
    return _Taken(view.tobytes())


def _from_text(text: str, most: int) -> _Taken:
    kind = ""
    is_base64 = True
    if text[:5].lower() == "data:":
        head, comma, text = text[5:].partition(",")
        kind, _, last = head.rpartition(";")
        is_base64 = last.strip().lower() == "base64"
        kind = kind if is_base64 else head
        if not comma:
            raise _RefusedError("no data URL")
    # Of four digits come three bytes; escapes, and line breaks, give fewer.
    _check(len(text) // 4 * 3 if is_base64 else len(text) // 3, 2 * most)
    data = _decoded(text) if is_base64 else unquote_to_bytes(text)
    _check(len(data), most)
    return _Taken(data, kind)


def _decoded(text: str) -> bytes:
    try:
        digits = "".join(text.split()).translate(_URL_SAFE)
        return binascii.a2b_base64(digits + "=" * (-len(digits) % 4), strict_mode=True)
    except ValueError:  # also what is no ASCII
        raise _RefusedError("no base64") from None


_URL_SAFE: Final = str.maketrans("-_", "+/")


def _from_path(source: Any, most: int) -> _Taken:
    if not _is_path(source):
        raise _RefusedError("no path")
    return _Taken(_read(str(source), most), name=_last_part(source))


def _read(path: str, most: int) -> bytes:
    """A regular file.

    Looked at before it is opened: to open a pipe is noticed at its other end. Looked at again afterwards:
    another may have taken its place.
    """
    try:
        _check_file(os.lstat(path), most)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb", buffering=0) as file:
            _check_file(os.fstat(fd), most)
            parts, size = [], 0
            # Its size says nothing of a file that grows, or in /proc.
            while part := file.read(min(1 << 20, most + 1 - size)):
                parts.append(part)
                size += len(part)
                _check(size, most)
    except (OSError, ValueError) as exc:  # ValueError: a NUL, or text that is no file's name
        let_through(exc)  # a TimeoutError is an OSError
        raise _RefusedError(f"cannot be read: {getattr(exc, 'strerror', None) or 'no path'}") from None
    return b"".join(parts)


def _check_file(found: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _RefusedError("no regular file")
    _check(found.st_size, most)


def _check(size: int, most: int) -> None:
    if size > most:
        raise _RefusedError(
            f"too large: more than {MAX_FILE_BYTES} bytes" if most == MAX_FILE_BYTES else _NO_ROOM
        )


def _is_path(source: object) -> bool:
    return issubclass(type(source), (str, PurePath))


def _last_part(source: object) -> str:
    return PurePath(str(source)).name if _is_path(source) else ""


_SOURCES: Final = {"bytes": _from_value, "base64": _from_value, "data": _from_value, "path": _from_path}
"""By field, in the order in which they are looked for."""
