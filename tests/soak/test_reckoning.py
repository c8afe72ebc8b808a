"""The oracle of the soak: what it takes for acknowledged."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from inprocess import App, no_background, owning
from receiver import Receiver
from reckoning import Acknowledged
from soak import Yard

from hush_otel import Destination

REQUEST = "6f0c2a7e-3f0a-4a66-9d0a-0c7d0a9f4b11"
LINES = (
    "span 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331\n",
    f"try {REQUEST} flow.search\n",
    f"node {REQUEST} flow.search\n",
    f"mark {REQUEST} -\n",
)


def test_a_line_that_a_kill_has_cut_acknowledges_nothing_and_hides_nothing(tmp_path: Path) -> None:
    """Cut at any byte, it is no line; the one that another thread or a child has put behind it is one."""
    log = tmp_path / "app-1.log"
    for line in LINES:
        log.write_text(line)
        told = Acknowledged.read(tmp_path)
        for cut in range(len(line)):
            log.write_text(line[:cut])
            assert Acknowledged.read(tmp_path) == Acknowledged(set(), set(), set(), set())
            log.write_text(line[:cut] + line)
            assert Acknowledged.read(tmp_path) == told


def test_nodes_of_a_request_without_a_mark_are_owed_to_nobody(tmp_path: Path) -> None:
    """The mark may stand in the log of another application."""
    (tmp_path / "app-1.log").write_text(LINES[2])
    assert len(Acknowledged.read(tmp_path).unmarked) == 1
    (tmp_path / "app-2.log").write_text(LINES[3])
    assert Acknowledged.read(tmp_path).unmarked == set()


def test_a_node_that_its_application_was_not_told_of_may_be_there(tmp_path: Path) -> None:
    """It died between storing it and saying so: nobody is owed it, and it is no loss where it is not."""
    (tmp_path / "app-1.log").write_text(LINES[1])
    told = Acknowledged.read(tmp_path)
    assert (told.nodes, len(told.tried), len(told.unmarked)) == (set(), 1, 1)
    (tmp_path / "app-1.log").write_text(LINES[1] + LINES[2])
    told = Acknowledged.read(tmp_path)
    assert (len(told.nodes), told.tried) == (1, set())


def test_a_request_that_waits_to_be_queued_is_not_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is complete, and for a moment longer owed to nobody: what is stopped then has not delivered it."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "traces.db", destinations=[Destination("file", path=str(tmp_path / "sent"))])
    app.tracer.start_span("a").end()
    receiver = Receiver()
    receiver.start()
    with owning(app.settings) as owner:
        owner.service._drain.step()
        *_, requests = Yard(tmp_path, receiver, Random(0))._left()
    receiver.stop()
    assert requests == 1
