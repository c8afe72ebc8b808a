"""`redact_in = "app"`: what the rules hide is hidden before a record reaches the spool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hush_otel import records
from hush_otel.codec import encode
from hush_otel.mapping.redaction import RecordRedactor
from hush_otel.mend import decode
from hush_otel.rules import RedactionRules
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.filesystem import Append
from hush_otel.spool.writer import Definitions, SpoolWriter


class RedactingWriter(SpoolWriter):
    """A SpoolWriter that decodes each record, redacts it, and encodes it again. As safe as that one.

    So the rules meet the same records as in the background process, at about the same cost, in the
    application's own time. The two methods raise ValueError for what is no record at all.

    Args:
        directory: As of SpoolWriter, like the next four.
        mode: "
        max_bytes: "
        on_check: "
        prelude: "
        rules: What is hidden.
    """

    def __init__(
        self,
        directory: SpoolDirectory,
        mode: Append,
        max_bytes: int,
        on_check: Callable[[], None],
        prelude: bytes,
        rules: RedactionRules,
    ) -> None:
        super().__init__(directory, mode, max_bytes, on_check, prelude)
        self._redactor = RecordRedactor(rules)
        self.definitions = _RedactedDefinitions(self.redacted)

    def append(self, payload: bytes, definition: int | None = None) -> bool:
        """Publish one record, without what the rules hide."""
        return super().append(self.redacted(payload), definition)

    def redacted(self, payload: bytes) -> bytes:
        """An encoded record as it may be written."""
        if records.record_type(payload) == records.COMPLETE:
            return payload
        record = decode(payload)
        if record is None:
            raise ValueError("a record cannot be decoded, and so not be redacted")
        payload, cut = encode(self._redactor.record(record))
        if cut:
            self.count_cut()
        return payload


class _RedactedDefinitions(Definitions):
    """Resources and scopes are kept for later segments as they may be written."""

    def __init__(self, redacted: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._redacted: Final = redacted

    def intern(self, make: Callable[[int], bytes]) -> int:
        """As ever; equal ones share an index."""
        return super().intern(lambda index: self._redacted(make(index)))
