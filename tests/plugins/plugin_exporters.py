"""Exporters as other packages have them, by entry point."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from hush_otel import HushSpanExporter


class Files(SpanExporter):
    """Appends the SDK's own JSON of each span to a file; fails while the file `down` beside it is there."""

    def __init__(self, path: str, token: str = "", answer: str = "") -> None:
        self._path = Path(path)
        self._token = token
        self._answer = answer

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        """Write them."""
        if self._path.with_name("down").exists():
            logging.getLogger("theirs").error("cannot reach %s with %s", self._path.name, self._token)
            return SpanExportResult.FAILURE
        if self._answer:
            return json.loads(self._answer)
        with self._path.open("a", encoding="utf-8") as file:
            for span in spans:
                file.write(span.to_json(indent=None) + "\n")
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Say so."""
        self._path.with_name("shut down").touch()


class HangsAtShutdown(Files):
    """Never ends by itself."""

    def shutdown(self) -> None:
        """Hang."""
        self._path.with_name("shutting down").touch()
        time.sleep(3600)


class CannotBeMade(Files):
    """Fails in its constructor."""

    def __init__(self) -> None:
        raise KeyError("EXPORTER_KEY")


class UnderAnotherName(HushSpanExporter):
    """Ours."""
