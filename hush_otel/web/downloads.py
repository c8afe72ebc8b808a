"""What leaves the page as a file: texts that are longer than the page shows, and media.

The browser is told a type that it does not run, and a name that we choose. Neither comes from a span.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from hush_otel.errors import PageError
from hush_otel.presentation.files import media_name

from . import payloads
from .answers import Answer, Question
from .api_span import content_key, found, view_content

PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What a browser draws and cannot run. SVG can hold scripts."""

SIDES: Final = ("input", "output", "metadata", "attribute")
DIGEST_BYTES: Final = 32


def payload(question: Question) -> Answer:
    """A text of a span, whole."""
    of, key = question.query.get("of", ""), question.query.get("key", "")
    if of not in SIDES:
        raise PageError(400, f"of: a span has no {of[:40]!r}", hint=f"one of {', '.join(SIDES)}")
    with question.reader() as reader, reader.snapshot():
        row = found(reader, question)
        if of in {"input", "output"}:
            key = content_key(payloads.attributes_of(reader, row["id"]), of) or ""
        text = payloads.whole(reader, row["id"], key) if key else view_content(reader, row["id"], of)
    if text is None:
        raise PageError(404, f"this span has no such {of}")
    name = f"hush-{row['span_id']}-{of}.txt"
    return _attachment(text.encode("utf-8", "replace"), "text/plain; charset=utf-8", name)


def media(question: Question) -> Answer:
    """A file of a span."""
    sha256 = question.path["sha256"]
    with question.reader() as reader, reader.snapshot():
        row = found(reader, question)
        file = reader.row("span_file", span=row["id"], digest=_digest(sha256))
    if file is None:
        raise PageError(404, "this span has no such file")
    if file["content_type"] in PICTURES:
        return Response(file["data"], media_type=file["content_type"])
    name = media_name(sha256.lower(), file["content_type"])
    return _attachment(file["data"], "application/octet-stream", name)


def _digest(sha256: str) -> bytes:
    try:
        digest = bytes.fromhex(sha256)
    except ValueError:
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise PageError(400, f"{sha256[:80]!r} is no SHA-256 in hex")
    return digest


def _attachment(data: bytes, content_type: str, name: str) -> Response:
    headers = {"Content-Type": content_type, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, headers=headers)
