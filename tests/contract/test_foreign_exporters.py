"""Type ``otel:<name>``: the exporters of other packages, by their entry points."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import rows
from plugging import install
from processes import processes_naming
from relaying import Yard

from hush_otel import ConfigError, Destination, HushSpanProcessor
from hush_otel.background import relay
from hush_otel.background.settling import LONGEST_BACKOFF_S
from hush_otel.config import Settings
from hush_otel.destinations import foreign, foreign_process
from hush_otel.testing import OtlpReceiver


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    """A database and its relay, with exporters installed."""
    for name, value in install(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    with Yard(tmp_path / "t.db") as one:
        yield one


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the exporters write."""
    return tmp_path / "out.jsonl"


def files(out: Path, name: str = "files", **options: Any) -> Destination:
    """An exporter that writes files, as a destination."""
    return Destination(f"otel:{name}", name="lab", **{"path": str(out)} | options)


def names(out: Path) -> list[str]:
    """The spans that it wrote."""
    return [json.loads(line)["name"] for line in out.read_text("utf-8").splitlines()]


def reason(yard: Yard) -> str:
    """Why the destination is paused."""
    return str(yard.destination()["paused"])


def test_an_installed_exporter_gets_the_spans(yard: Yard, out: Path) -> None:
    """All of them, once, in the order in which they ended; SUCCESS is delivered."""
    yard.take(["a", "b", "root"], files(out))
    yard.take(["c"], files(out))
    yard.deliver()
    assert yard.states() == {"delivered": 2}
    assert names(out) == ["a", "b", "root", "c"]
    assert yard.ledger_balances()


def test_the_sdks_otlp_exporter_delivers_to_a_receiver(yard: Yard) -> None:
    """A package that nobody here wrote, over the network, with its options; when it fails, its reason is kept."""
    with OtlpReceiver() as receiver:
        lab = Destination(
            "otel:otlp_proto_http",
            name="lab",
            endpoint=f"{receiver.endpoint}/v1/traces",
            headers={"x-key": "${LAB_KEY}"},
            timeout=5,
        )
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("LAB_KEY", "right-key")
            yard.take(["a", "root"], lab)
            yard.deliver()
            receiver.respond(400, {"Content-Type": "text/plain"}, b"no", times=1)
            yard.take(["b"], lab)
            yard.deliver()
            (words,) = yard.errors("pending")
            yard.time.pass_by(LONGEST_BACKOFF_S)
            yard.settle()
    assert yard.states() == {"delivered": 2}
    assert {span.name for span in receiver.spans()} == {"a", "root", "b"}
    assert receiver.requests[0].headers["x-key"] == "right-key"
    assert words.startswith("lab (otel:otlp_proto_http): the exporter returned FAILURE; it logged: ")
    assert "400" in words


def test_the_sdks_console_exporter_prints_to_the_log(yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
    """What it prints is in the log, and is no answer to us."""
    yard.take(["a span of note"], Destination("otel:console", name="lab"))
    yard.deliver()
    assert yard.states() == {"delivered": 1}
    assert "a span of note" in caplog.text


def test_failure_is_tried_again_with_its_reason(yard: Yard, out: Path) -> None:
    """FAILURE says nothing: what the exporter logged last does. The same spans go when it works."""
    out.with_name("down").touch()
    yard.take(["a"], files(out, token="s3cr3t-value"))
    yard.deliver()
    assert yard.errors("pending") == [
        "lab (otel:files): the exporter returned FAILURE; it logged: cannot reach out.jsonl with ***"
    ]
    out.with_name("down").unlink()
    yard.time.pass_by(LONGEST_BACKOFF_S)
    yard.settle()
    assert yard.states() == {"delivered": 1}
    assert names(out) == ["a"]


@pytest.mark.parametrize("answer", ["null", "true", "0"])
def test_only_success_is_success(yard: Yard, out: Path, answer: str) -> None:
    """An exporter that returns something else has not said that anything was accepted."""
    yard.take(["a"], files(out, answer=answer))
    yard.deliver()
    (words,) = yard.errors("pending")
    assert words.startswith("lab (otel:files): the exporter returned ")


def test_a_missing_exporter_pauses_and_says_what_is_there(yard: Yard, out: Path, tmp_path: Path) -> None:
    """Not dead: once it is installed the next probe gets through."""
    yard.take(["a"], files(out, "later"))
    yard.deliver()
    assert yard.states() == {"paused": 1}
    assert "no exporter 'later' is installed in the background process's Python" in reason(yard)
    assert "console" in reason(yard)
    points = tmp_path / "site/plugins_for_tests-1.0.dist-info/entry_points.txt"
    points.write_text(points.read_text("ascii") + "later = plugin_exporters:Files\n", "ascii")
    yard.time.pass_by(LONGEST_BACKOFF_S + 1)
    yard.settle()
    assert yard.states() == {"delivered": 1}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cannot-be-imported", "plugin_gone:Exporter cannot be imported: ModuleNotFoundError"),
        ("cannot-be-made", "cannot be made: KeyError: 'EXPORTER_KEY' (check its options)"),
    ],
)
def test_an_exporter_that_cannot_be_opened_pauses(yard: Yard, name: str, words: str) -> None:
    """Somebody has to mend it."""
    yard.take(["a"], Destination(f"otel:{name}", name="lab"))
    yard.deliver()
    assert yard.states() == {"paused": 1}
    assert words in reason(yard)


def test_an_option_that_it_does_not_have_is_dead(yard: Yard, out: Path) -> None:
    """It can never work; the message names it."""
    yard.take(["a"], files(out, bogus=1))
    yard.deliver()
    assert yard.states() == {"dead": 1}
    assert "unexpected keyword argument 'bogus'" in yard.errors("dead")[0]


def test_ours_under_another_name_is_refused(yard: Yard) -> None:
    """It would deliver to itself for ever."""
    yard.take(["a"], Destination("otel:ours-again", name="lab"))
    yard.deliver()
    assert "it is hush-otel itself" in yard.errors("dead")[0]


def test_too_much_for_one_message_is_sent_in_two(
    yard: Yard, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with any destination that has a limit of bytes."""
    monkeypatch.setattr(foreign, "HTTP_REQUEST_BYTES", 20_000)
    spans = [f"s{number}" for number in range(8)]
    yard.take(spans, files(out), value="v" * 5_000)
    yard.deliver()
    assert yard.states() == {"delivered": 1}
    assert names(out) == spans


def test_an_exporter_is_shut_down_with_its_lane(
    yard: Yard, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its process is gone."""
    monkeypatch.setattr(foreign, "CLOSE_S", 60.0)  # one that ends by itself may take its time
    monkeypatch.setattr(relay, "CLOSE_S", 60.0)
    lab = Destination("otel:files", name=f"lab-{uuid.uuid4().hex}", path=str(out))
    yard.take(["a"], lab)
    yard.deliver()
    yard.relay.close()
    assert out.with_name("shut down").exists()
    assert processes_naming(lab.name) == []


class Deadlines:
    """A clock by which no deadline passes before something has `happened`."""

    def __init__(self, happened: Callable[[], bool]) -> None:
        self._happened = happened

    def monotonic(self) -> float:
        """As of `time`, from then on."""
        return time.monotonic() if self._happened() else 0.0


def test_those_that_hang_at_shutdown_are_killed(
    yard: Yard, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told at the same time, and hold nobody up for longer than their second."""
    assert foreign.CLOSE_S < relay.CLOSE_S, "nobody is left behind by whoever closes"
    places = [out.parent / str(number) / "out.jsonl" for number in range(3)]
    told = [place.with_name("shutting down") for place in places]
    name = f"lab-{uuid.uuid4().hex}"
    for number, place in enumerate(places):
        place.parent.mkdir()
        yard.take(["a"], Destination("otel:hangs-at-shutdown", name=f"{name}-{number}", path=str(place)))
    yard.deliver()
    monkeypatch.setattr(foreign_process, "time", Deadlines(lambda: all(one.exists() for one in told)))
    monkeypatch.setattr(relay, "CLOSE_S", 60.0)
    yard.relay.close()
    assert all(one.exists() for one in told)
    assert processes_naming(name) == []


def test_two_destinations_have_a_process_each(yard: Yard, out: Path) -> None:
    """One that fails is no business of the other's."""
    other = out.with_name("elsewhere") / "out.jsonl"
    other.parent.mkdir()
    other.with_name("down").touch()
    yard.take(["a"], files(out), Destination("otel:files", name="other", path=str(other)))
    yard.deliver()
    sql = "SELECT destination, state FROM deliveries ORDER BY destination"
    assert rows(yard.path, sql) == [("lab", "delivered"), ("other", "pending")]


# In the application.


@pytest.mark.parametrize("kind", ["otel:", "otel:a b", "otel:a,b", "otel:.", "otel:../x", "otel:é"])
def test_a_name_that_cannot_be_one_is_a_config_error(tmp_path: Path, kind: str) -> None:
    """At construction, by its name."""
    with pytest.raises(ConfigError, match="names no exporter"):
        HushSpanProcessor(tmp_path / "t.db", destinations=[Destination(kind, name="lab")])


def test_ourselves_is_a_config_error(tmp_path: Path) -> None:
    """A loop."""
    with pytest.raises(ConfigError, match="otel:hush is hush-otel itself"):
        HushSpanProcessor(tmp_path / "t.db", destinations=["otel:hush"])


@pytest.mark.parametrize(
    ("options", "words"), [({"timeout_s": 0}, "timeout_s: 0 is no timeout"), ({"a-b": 1}, "a-b: cannot be")]
)
def test_options_are_checked_in_the_application(options: dict[str, Any], words: str) -> None:
    """As far as that goes without the exporter."""
    settings = Settings.load("t.db")
    with pytest.raises(ConfigError, match=words):
        settings.choose([Destination("otel:console", name="lab", **options)])


def test_a_bare_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """HUSH_DESTINATIONS=otel:console: its own variables say the rest."""
    monkeypatch.setenv("HUSH_DESTINATIONS", "otel:console")
    (destination,) = Settings.load("t.db").destinations
    assert (destination.name, destination.type) == ("otel:console", "otel:console")
