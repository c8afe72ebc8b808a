"""Real limits of the operating system, met by real applications: they live, and count what they cannot write."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from bench import App, Bench, linux_only, names
from support import eventually

pytestmark = linux_only

FEW_BYTES = 64 * 1024
"""Less than the smallest segment, and more than anything else that an application writes."""
STANDARD_STREAMS = 3
"""Descriptors: all that it may have are taken by them, or by what it has opened before."""


def heard(bench: Bench, app: str) -> tuple[App, Path]:
    """A running application, and the file that its standard error goes to."""
    said = bench.path / "said"
    return bench.start(app, within=("sh", "-c", 'exec "$@" 2> "$0"', str(said))), said


def allow(app: App, which: int, soft: int) -> None:
    """Give a running process another limit."""
    hard = resource.prlimit(app.pid, which)[1]
    resource.prlimit(app.pid, which, (soft, hard))


def goes_on(bench: Bench, end_one: Callable[[], object], name: str) -> None:
    """Once the limit is gone, a span that it ends is stored."""

    def stored() -> bool:
        end_one()
        return bench.names()[name] > 0

    eventually(stored, 60.0, what=f"a span named {name}")


def counted(bench: Bench) -> int:
    """The records that were lost, all of them for want of space; the audit must balance."""
    audit = bench.hush("audit", "--json")
    found = json.loads(audit.read_all(60.0))
    assert audit.wait() == 0, found
    assert found["losses"].keys() == {"no_space"}
    return int(found["losses"]["no_space"])


@pytest.mark.parametrize(
    ("which", "soft", "mend"),
    [
        pytest.param(resource.RLIMIT_FSIZE, FEW_BYTES, "ulimit -f", id="file sizes"),
        pytest.param(resource.RLIMIT_NOFILE, STANDARD_STREAMS, "ulimit -n", id="descriptors"),
    ],
)
def test_f20_f28_an_application_that_reaches_a_limit_counts_its_drops(
    bench: Bench, which: int, soft: int, mend: str
) -> None:
    """F20, F28: no segment can be made any more; one warning names spool and limit, no partial file is left."""
    app, said = heard(bench, "obey")
    assert app.value() == app.pid
    app.ask("end before 5")
    bench.expect(names("before", 5))  # whoever drains lives, and has limits of its own
    before = resource.prlimit(app.pid, which)[0]
    allow(app, which, soft)
    assert app.ask("pad 60 10000") == "ok"
    (warning,) = [line for line in said.read_text().splitlines() if "drops spans" in line]
    assert str(bench.spool.path) in warning
    assert mend in warning
    assert bench.spool.temporaries() == []
    allow(app, which, before)
    goes_on(bench, lambda: app.ask("end after 1"), "after-0")
    assert counted(bench) >= 60, "a segment holds 25 of the 60 spans, each of two records"


def test_f20_the_background_process_has_no_soft_limit_of_its_applications(bench: Bench) -> None:
    """F20: a database that grew beyond an application's limit of file sizes would store nothing more."""
    app = bench.start("obey", within=("sh", "-c", 'ulimit -S -f 8192; ulimit -S -n 100; exec "$@"', "sh"))
    assert app.value() == app.pid
    app.ask("end before 1")
    owner = bench.owner_eventually()
    bench.expect(names("before", 1))
    for which in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
        of_the_app, its_own = resource.prlimit(app.pid, which), resource.prlimit(owner, which)
        assert of_the_app[0] != of_the_app[1]
        assert its_own == (of_the_app[1],) * 2


def test_f28_an_application_that_begins_without_descriptors_records_once_it_has_some(bench: Bench) -> None:
    """F28: the processor is made, though not even an absent configuration file can be opened."""
    app, said = heard(bench, "no_descriptors")
    assert app.value() == "recorded"
    (warning,) = [line for line in said.read_text().splitlines() if "drops spans" in line]
    assert str(bench.spool.path) in warning
    assert "ulimit -n" in warning

    def end_one() -> None:
        app.tell("end another")
        app.value()

    goes_on(bench, end_one, "kept-0")
    assert counted(bench) >= 10, "five spans, each of two records"
    assert not bench.names().keys() & names("lost", 5)
