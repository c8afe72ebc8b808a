"""Which rules a segment's records go through: its writer's, and those of whoever drains it.

Rules come with the records (`records.Rules`): this process may have been started by another application, or
before the configuration file was changed. What either side hides is hidden.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from hush_otel import records
from hush_otel.diagnostics import say
from hush_otel.errors import ConfigError
from hush_otel.mapping.redaction import RecordRedactor, is_hidden
from hush_otel.rules import RedactionRules

REASON: Final = "redaction_failed"
"""In the ledger: records of which no text was stored, because the rules could not be applied."""


class Redaction:
    """The rules in force. Used by the drain's thread only.

    Args:
        own: Of this process's configuration; None: no rules.

    Attributes:
        failed: Records whose content was hidden because they could not be redacted, since `begin`.
    """

    def __init__(self, own: RedactionRules | None) -> None:
        self.failed = 0
        self._own = RecordRedactor(own) if own is not None else None
        self._own_text = own.as_text() if own is not None else None
        self._known: dict[tuple[str, bool], Chain | None] = {}

    def of(self, rules: records.Rules | None) -> Chain | None:
        """What records of a segment go through; None where there is nothing to hide.

        Args:
            rules: As the segment begins; None: its writer had none.
        """
        key = ("", False) if rules is None else (rules.text, rules.applied)
        if key not in self._known:
            self._known[key] = self._chain(rules)
        return self._known[key]

    def unknown(self) -> Chain:
        """For a segment with rules, as long as they have not been read: damage may have taken them."""
        return Chain(self, [], hides_all=True)

    def _chain(self, rules: records.Rules | None) -> Chain | None:
        own = [] if self._own is None else [self._own]
        if rules is None:
            return Chain(self, own) if own else None
        if rules.text == self._own_text:
            return Chain(self, [] if rules.applied else own)
        if rules.applied:
            return Chain(self, own)
        try:
            return Chain(self, [RecordRedactor(RedactionRules.from_text(rules.text)), *own])
        except ConfigError as exc:
            say(logging.ERROR, "hush-otel stores no text of what an application records: %s", exc)
            return Chain(self, own, hides_all=True)


class Chain:
    """Redactors, one after the other. With none, what the application has hidden already is only counted.

    Args:
        redaction: Where failures are counted.
        redactors: The rules.
        hides_all: Whether the application's rules cannot be applied here: then no text is stored.
    """

    def __init__(
        self, redaction: Redaction, redactors: Sequence[RecordRedactor], *, hides_all: bool = False
    ) -> None:
        self._redaction = redaction
        self._redactors = redactors
        self._blind = RecordRedactor(RedactionRules(values=())) if hides_all else None

    def __call__(self, record: records.Record) -> records.Record:
        """A decoded record as it may be stored."""
        if self._blind is not None:
            self._redaction.failed += 1
            return self._blind.hidden(record)
        before = sum(redactor.failed for redactor in self._redactors)
        for redactor in self._redactors:
            record = redactor.record(record)
        if is_hidden(record) or sum(redactor.failed for redactor in self._redactors) > before:
            self._redaction.failed += 1
        return record
