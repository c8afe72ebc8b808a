"""A request as a file to give away, as `hush-otel share --redact` writes it: always redacted, or not at all.

It is written to a nameless temporary file before its first byte is sent: what is large needs no memory, and
who reads slowly holds neither a thread nor the database.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from typing import BinaryIO, Final

import anyio.to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hush_otel.config import HIDES, Settings, survey
from hush_otel.errors import ConfigError, PageError
from hush_otel.mapping.redactor import Redactor
from hush_otel.presentation.files import shared_name
from hush_otel.presentation.sharing import Form, Shared, redactor_for

from .answers import Answer, Question
from .api_requests import request_id

PART_BYTES: Final = 256 * 1024


class Sharing:
    """Answers with a request in one of these forms.

    Args:
        forms: By name.
    """

    def __init__(self, forms: Mapping[str, Form]) -> None:
        self._forms = forms

    def look(self, question: Question) -> Answer:
        """In which forms it can be had; an error where nobody can tell what is to be hidden."""
        _redactor(question.settings)
        with question.reader() as reader:
            request_id(reader, question)
        return {"forms": list(self._forms)}

    def file(self, question: Question) -> Answer:
        """The request in one form, as a file."""
        name = question.path["form"]
        if name not in self._forms:
            raise PageError(
                404, f"a request is not given away as {name[:40]!r}", hint=f"but as {', '.join(self._forms)}"
            )
        redactor = _redactor(question.settings)
        with question.reader() as reader, reader.snapshot():
            shared = Shared(reader, request_id(reader, question), redactor)
            file = _written(self._forms[name](shared))
        return Download(file, shared_name(shared.request["request_id"], name))


def _redactor(settings: Settings) -> Redactor | None:
    """What hides by the rules as they are now, the ready ones beside them.

    Raises:
        ConfigError: They cannot be read, or nobody can tell whether these are all.
    """
    found = survey(settings.db_path)
    for part, mistake in found.mistakes.items():
        if part in HIDES:
            raise ConfigError(
                f"nothing is given away while the rules of [redaction] cannot be read: {mistake.message}",
                hint=mistake.hint,
            )
    return redactor_for(found.settings.redaction, ready=True)


def _written(parts: Iterable[str]) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
    try:
        for part in parts:
            file.write(part.encode("utf-8", "replace"))
        file.flush()
    except BaseException as exc:
        file.close()
        if not isinstance(exc, OSError):
            raise
        raise PageError(
            503,
            f"cannot write the file in {tempfile.gettempdir()}: {exc.strerror or exc}",
            hint="make room there, or have TMPDIR name another directory",
        ) from exc
    return file


class Download(Response):
    """A file under a name of ours, of a type that no browser runs, sent part by part and closed.

    Args:
        file: Open; at any position.
        name: For whoever saves it.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(file.seek(0, 2)),
        }
        super().__init__(headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""
        del scope, receive
        self._file.seek(0)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while part := await anyio.to_thread.run_sync(self._file.read, PART_BYTES):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._file.close()
