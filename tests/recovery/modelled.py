"""What the two models share: a spool with processes that write and die, and an owner that steps and crashes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from inprocess import Owner, let_go, no_waits, rows, settings_for, writer_of

from hush_otel.cli import audit
from hush_otel.spool.filesystem import Append
from hush_otel.spool.writer import SpoolWriter

PROCESSES: Final = 3
WHO: Final = st.integers(0, PROCESSES - 1)


def settings_of(max_examples: int) -> hypothesis.settings:
    """Every example is a real spool: shrinking one takes minutes, reading one of 25 steps does not."""
    return hypothesis.settings(
        max_examples=max_examples,
        stateful_step_count=25,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


class SpoolAndOwner(RuleBasedStateMachine):
    """Owners that step, crash and come back, over a spool in a directory of its own."""

    def prepare(self, **settings: Any) -> None:
        """An empty directory, and no owner."""
        self.patch = pytest.MonkeyPatch()
        no_waits(self.patch)
        self.directory = Path(tempfile.mkdtemp(prefix="model-"))
        self.settings = settings_for(self.directory / "t.db", **settings)
        self.made = 0
        self.elected: Owner | None = None

    def clean_up(self) -> None:
        """Nothing is left of it."""
        self.patch.undo()
        let_go()
        shutil.rmtree(self.directory)

    def another_writer(self) -> SpoolWriter:
        """Every other one appends by pwrite."""
        self.made += 1
        mode = Append.MAP if self.made % 2 else Append.WRITE
        return writer_of(self.settings, mode, doomed=True, max_bytes=1 << 40)

    @property
    def owner(self) -> Owner:
        """Elected when there is none."""
        if self.elected is None:
            self.elected = Owner(self.settings)
        return self.elected

    @property
    def has_database(self) -> bool:
        """Whether there is anything to compare."""
        return hasattr(self, "settings") and self.settings.db_path.exists()

    def names(self, sql: str, *values: object) -> list[str]:
        """The first column of rows."""
        return [row[0] for row in rows(self.settings.db_path, sql, *values)] if self.has_database else []

    @rule()
    def step(self) -> None:
        """One round."""
        self.owner.step()

    @rule()
    def tend(self) -> None:
        """What is due once a second."""
        self.owner.tend()

    @rule()
    def crash(self) -> None:
        """Without a word, between two steps."""
        self.owner.crash()
        self.elected = None

    @rule()
    def leave(self) -> None:
        """In order."""
        self.owner.close()
        self.elected = None

    @invariant()
    def the_ledger_balances(self) -> None:
        """At every moment: what was read is counted in the transaction that stores it."""
        if self.has_database:
            found = audit.collect(self.settings)
            assert found.balanced, found
