"""Redaction on the whole way: spool, store, its log, receivers, exports. What is planted is found nowhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import App, dicts, die, drain_once, losses, node_payload, owning, rows, settings_for, writer_of
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceState
from redacting import configure, holders, rules
from support import eventually

from hush_otel import Destination, records
from hush_otel.cli.main import main
from hush_otel.codec import encode
from hush_otel.config import Settings
from hush_otel.mapping.redaction import FAILED, RecordRedactor
from hush_otel.testing import OtlpReceiver

MAIL = "planted@corp.example"
KEY = "sk-proj-PLANTED0123456789abcdef"
PIN = "PLANTED-PIN"
PLANTED = ("planted@corp", "PLANTED0123", PIN)
MASK = "[redacted]"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings of this machine, nobody launched."""
    for key in list(os.environ):
        if key.startswith(("HUSH_", "OTEL_")):
            monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HUSH_BACKGROUND", "external")
    return tmp_path


def beside_the_spool(home: Path) -> list[str]:
    """What holds something planted, but for segments: those are raw until they are unlinked."""
    return [name for name in holders(home, *PLANTED) if ".seg" not in name]


def record_everything(app: App, value: Any = MAIL) -> None:
    """Secrets at every place that an application can write to."""
    provider = TracerProvider(resource=Resource({"owner": MAIL}), shutdown_on_exit=False)
    provider.add_span_processor(app.processor)
    tracer = provider.get_tracer(f"lib {MAIL}", KEY, attributes={"a": MAIL, "pin": PIN})
    state = TraceState([("v", "planted@corp.example")])
    link = Link(SpanContext(1, 2, is_remote=True, trace_state=state), {"a": KEY, "pin": PIN})
    with tracer.start_as_current_span(f"GET /{MAIL}", links=[link], attributes={"pin": PIN}) as span:
        span.set_attribute("text", value if isinstance(value, str) else json.dumps(value))
        span.set_attribute("input.value", json.dumps({"q": [{"pin": PIN, "mail": MAIL}], "v": value}))
        span.set_attribute(f"key {MAIL}", [f"a {KEY}", "b"])
        span.set_attribute("big", f"{'long ' * 5_000}{MAIL}")
        span.set_attribute("raw", f"x {KEY}".encode())  # type: ignore[arg-type]
        span.set_attribute("card", 4111111111111111)
        span.set_attribute("user.id", MAIL)
        span.add_event(f"event {MAIL}", {"a": KEY, "pin": PIN})
        span.record_exception(ValueError(f"no {KEY}"))
        span.set_status(Status(StatusCode.ERROR, f"no {MAIL}"))
    tracer.start_span(f"runs {MAIL}", attributes={"pin": PIN, "a": KEY})
    app.store.insert_node_trace(
        f"run of {MAIL}", f"flow {MAIL}", f"step {MAIL}", f"above {MAIL}", KEY, 1, f"at {MAIL}", None, 1.0,
        {"pin": PIN, "deep": [{"json": json.dumps({"pin": PIN, "v": value})}]}, value,
        user_id=MAIL, session_id=KEY, model=KEY, metadata={"pin": PIN, MAIL: KEY}, error=f"no {MAIL}",
    )  # fmt: skip
    app.store.mark_request_complete(f"run of {MAIL}", "local", {}, [MAIL, KEY])


def test_nothing_planted_reaches_the_database(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its file nor its WAL, nor anything beside them but the spool."""
    configure(monkeypatch, home, keys=["pin"])
    app = App(home / "t.db")
    record_everything(app)
    assert holders(home / "t.db.spool", *PLANTED)  # raw until it is drained
    with owning(app.settings) as owner:
        owner.drain()
        assert (home / "t.db-wal").stat().st_size
        assert beside_the_spool(home) == []
    assert beside_the_spool(home) == []  # checkpointed, too
    (span,) = [span for span in app.spans() if span["name"] == f"GET /{MASK}"]
    assert json.loads(span["attributes"])["pin"] == MASK
    assert json.loads(json.loads(span["attributes"])["input.value"])["q"] == [{"pin": MASK, "mail": MASK}]
    assert span["status_message"] == f"no {MASK}"
    (node,) = [node for node in app.nodes() if node["context_id"] == MASK]
    assert node["request_id"].startswith(f"{MASK}-")
    assert (node["node_name"], node["parent_name"], node["user_id"]) == (
        f"step {MASK}",
        f"above {MASK}",
        MASK,
    )
    assert losses(app.db_path) == {}


def test_nothing_planted_reaches_the_spool_with_redact_in_app(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is stored of it is the same."""
    configure(monkeypatch, home, keys=["pin"], redact_in="app")
    app = App(home / "t.db")
    record_everything(app)
    assert holders(home, *PLANTED) == []
    app.drain()
    assert holders(home, *PLANTED) == []
    seen = {span["name"]: json.loads(span["attributes"]) for span in app.spans()}
    configure(monkeypatch, home, keys=["pin"])
    other = App(home / "other.db")
    record_everything(other)
    other.drain()
    assert {span["name"]: json.loads(span["attributes"]) for span in other.spans()} == seen
    assert losses(app.db_path) == {}


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.recursive(
        st.sampled_from([MAIL, f"<{KEY}>", {"pin": PIN}, [PIN and MAIL], "x", 1, None, f"pin={PIN}"]),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "pin", MAIL]), inner)
        ),
        max_leaves=8,
    )
)
def test_nothing_planted_survives_whatever_holds_it(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    """Any structure, in a span's text and in a node's input and output."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        configure(patch, home, keys=["pin"])
        app = App(home / "t.db")
        record_everything(app, value)
        with owning(app.settings) as owner:
            owner.drain()
            assert beside_the_spool(home) == []


def test_nothing_planted_reaches_a_receiver(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """OTLP, a file, the console; then an export and what the commands print."""
    configure(monkeypatch, home, keys=["pin"])
    with OtlpReceiver() as receiver:
        to = [
            Destination("otlp", name="otlp", endpoint=receiver.endpoint, compression="none"),
            Destination("file", name="file", path=str(home / "delivered.jsonl")),
            Destination("console", name="console"),
        ]
        app = App(home / "t.db", destinations=to)
        record_everything(app)
        with owning(app.settings) as owner:
            eventually(lambda: [owner.step(), _delivered(app.db_path)][1], what="three deliveries")
        bodies = b"".join(request.body for request in receiver.requests)
    for part in PLANTED:
        assert part.encode() not in bodies
    (span,) = [span for span in receiver.spans() if span.name == f"GET /{MASK}"]
    assert span.attributes["user.id"] == MASK
    assert span.resource["owner"] == MASK
    for command in (
        ["export", "-"],
        ["export", "--format", "csv", str(home / "out.csv")],
        ["ls"],
        ["status"],
    ):
        assert main(["--db", str(app.db_path), *command]) == 0
    out = capfd.readouterr()
    assert MASK in out.out
    assert MASK in out.err  # the console's lines
    assert not any(part in out.out + out.err for part in PLANTED)
    assert beside_the_spool(home) == []


def _delivered(db_path: Path) -> bool:
    found = rows(db_path, "SELECT state FROM deliveries")
    return len(found) == 3 and {state for (state,) in found} == {"delivered"}


# ------------------------------------------------------------------ whose rules


def test_the_writers_rules_hold_whoever_drains(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A background process that another application has started knows none of them."""
    configure(monkeypatch, home, keys=["pin"])
    app = App(home / "t.db")
    record_everything(app)
    bare = settings_for(home / "t.db")
    assert bare.redaction is None
    with owning(bare) as owner:
        owner.drain()
        assert beside_the_spool(home) == []


def test_the_drainers_rules_hold_whoever_writes(home: Path) -> None:
    """An application that has none is covered too."""
    configured = settings_for(home / "t.db", redaction=rules())
    writer = writer_of(configured)
    writer.append(node_payload("r", input_data=MAIL))
    drain_once(configured)
    assert rows(home / "t.db", "SELECT input_data FROM node_traces") == [(MASK,)]


def test_both_rules_hold_where_they_differ(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hides what it hides."""
    configure(monkeypatch, home, keys=["pin"], values=[], mask="<app>")
    app = App(home / "t.db")
    app.store.insert_node_trace("r", "w", "n", None, None, 1, None, None, 1.0, {"pin": PIN, "m": MAIL}, None)
    drain_once(settings_for(home / "t.db", redaction=rules()))
    ((shown,),) = rows(home / "t.db", "SELECT input_data FROM node_traces")
    assert json.loads(shown) == {"pin": "<app>", "m": MASK}


def test_rules_outlive_a_restart_of_the_drain(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read again from below the position, like all that a segment defines."""
    configure(monkeypatch, home, keys=["pin"])
    app = App(home / "t.db")
    for name in ("a", "b"):
        app.store.insert_node_trace("r", "w", name, None, None, 1, None, None, 1.0, {"pin": PIN}, MAIL)
        drain_once(settings_for(home / "t.db"))
    assert [node["output_data"] for node in app.nodes()] == [MASK, MASK]


def test_a_forked_child_brings_its_rules(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its segment is another one."""
    configure(monkeypatch, home, keys=["pin"])
    app = App(home / "t.db")
    pid = os.fork()
    if pid == 0:
        app.store.insert_node_trace("r", "w", "child", None, None, 1, None, None, 1.0, MAIL, None)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    drain_once(settings_for(home / "t.db"))
    assert rows(home / "t.db", "SELECT node_name, input_data FROM node_traces") == [("child", MASK)]


def test_every_segment_begins_with_the_rules(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each can be understood alone; a record that needs a segment of its own has room beside them."""
    configure(monkeypatch, home, keys=["pin"])
    app = App(home / "t.db")
    for number in range(8):
        app.store.insert_node_trace(
            "r", "w", f"n{number}", None, None, 1, None, None, 1.0, "x" * 300_000, MAIL
        )
    segments = sorted((home / "t.db.spool").glob("*.seg"))
    assert len(segments) > 2
    for path in segments:
        assert path.read_bytes()[256 + 8 + 1] == records.RULES
    app.drain()
    assert [node["output_data"] for node in app.nodes()] == [MASK] * 8


# ------------------------------------------------------------------ fail closed


def test_rules_that_cannot_be_applied_hide_everything(home: Path) -> None:
    """Those of a newer version, or patterns where RE2 is missing: no text is stored, and it is counted."""
    configured = settings_for(home / "t.db")
    writer = writer_of(configured)
    writer._prelude = records.encode_rules('{"values": ["of a newer version"]}', applied=False)
    writer.append(node_payload("r", "n", input_data=MAIL, prompt_tokens=7))
    drain_once(configured)
    ((name, shown, tokens, metadata),) = rows(
        home / "t.db", "SELECT node_name, input_data, prompt_tokens, metadata FROM node_traces"
    )
    assert (name, shown, tokens) == (MASK, None, 7)
    assert json.loads(metadata) == {FAILED: True}
    assert losses(home / "t.db") == {"redaction_failed": 1}


def test_a_record_that_breaks_a_rule_is_stored_without_content(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, its neighbours untouched."""
    configured = settings_for(home / "t.db", redaction=rules())
    whole = RecordRedactor.text

    def text(self: RecordRedactor, given: str, room: int = 100) -> str:
        if given == "poison":
            raise RecursionError
        return whole(self, given, room)

    monkeypatch.setattr(RecordRedactor, "text", text)
    writer = writer_of(configured)
    for name, value in (("a", MAIL), ("b", "poison"), ("c", MAIL)):
        writer.append(node_payload("r", name, input_data=value))
    drain_once(configured)
    assert rows(home / "t.db", "SELECT node_name, input_data FROM node_traces ORDER BY id") == [
        ("a", MASK),
        (MASK, None),
        ("c", MASK),
    ]
    assert losses(home / "t.db") == {"redaction_failed": 1}


def test_a_failure_in_the_app_hides_there_and_is_counted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With redact_in = "app" nothing of it reaches the spool; the drain tells it by its mark."""
    configure(monkeypatch, home, redact_in="app")
    app = App(home / "t.db")

    def fail(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(RecordRedactor, "attributes", fail)
    app.tracer.start_span("chat", attributes={"a": MAIL}).end()
    assert holders(home, *PLANTED) == []
    monkeypatch.undo()
    monkeypatch.setenv("HUSH_BACKGROUND", "external")
    drain_once(settings_for(home / "t.db"))
    assert [json.loads(span["attributes"]) for span in dicts(home / "t.db", "SELECT * FROM spans")] == [
        {FAILED: True}
    ]
    assert losses(home / "t.db")["redaction_failed"] >= 1


def test_values_that_no_decoder_takes_are_redacted_in_the_app(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers as keys, containers in containers: mended first, as in the background process."""
    configure(monkeypatch, home, redact_in="app")
    app = App(home / "t.db")
    deep: Any = MAIL
    for _ in range(1_500):
        deep = [deep]
    app.store.insert_node_trace("r", "w", "n", None, None, 1, None, None, 1.0, {(MAIL,): MAIL}, deep)
    assert holders(home, *PLANTED) == []
    app.drain()
    assert [node["node_name"] for node in app.nodes()] == ["n"]


@pytest.mark.parametrize("redacting", [True, False])
def test_what_cannot_be_decoded_is_kept_only_without_rules(home: Path, redacting: bool) -> None:
    """salvage/ would hold what no rule was applied to."""
    configured = settings_for(home / "t.db", redaction=rules() if redacting else None)
    writer = writer_of(configured)
    writer.append(encode((records.NODE, "no time", MAIL))[0])
    drain_once(configured)
    assert losses(home / "t.db") == {"undecodable": 1}
    kept = [name for name in holders(home, "planted@corp") if ".undecodable" in name]
    assert len(kept) == (0 if redacting else 1)


def test_damage_is_kept_only_without_rules(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes may hold whole records."""
    from inprocess import no_waits

    no_waits(monkeypatch)
    configured = settings_for(home / "t.db", redaction=rules())
    writer = writer_of(configured, doomed=True)
    for name in ("a", "b", "c"):
        writer.append(node_payload("r", name, input_data=MAIL))
    writer.seal()
    (path,) = (home / "t.db.spool").glob("*.seg")
    die(writer)
    data = bytearray(path.read_bytes())
    at = data.index(b"planted", data.index(b"planted") + 10)
    data[at] ^= 1
    path.write_bytes(data)
    with owning(configured) as owner:
        owner.drain()
        assert "damaged" in losses(home / "t.db")
        assert [name for name in holders(home, "planted@corp", "lanted@corp") if ".seg" not in name] == []


def test_rules_that_damage_has_taken_hide_the_segment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header says that there were some. Nothing is known of what they would have hidden."""
    from inprocess import no_waits

    no_waits(monkeypatch)
    configured = settings_for(home / "t.db")
    writer = writer_of(configured, doomed=True)
    writer._prelude = records.encode_rules(rules().as_text(), applied=False)
    for name in ("a", "b"):
        writer.append(node_payload("r", name, input_data=MAIL))
    (path,) = (home / "t.db.spool").glob("*.seg")
    die(writer)
    data = bytearray(path.read_bytes())
    data[256 + 8 + 20] ^= 1
    path.write_bytes(data)
    with owning(configured) as owner:
        owner.drain()
        assert beside_the_spool(home) == []
    assert rows(home / "t.db", "SELECT node_name, input_data FROM node_traces") == [(MASK, None)] * 2
    assert losses(home / "t.db") == {"damaged": 1, "redaction_failed": 2}


@pytest.mark.parametrize("torn", [512, 4096])
def test_rules_that_are_lost_together_with_the_header_hide_the_segment(
    home: Path, monkeypatch: pytest.MonkeyPatch, torn: int
) -> None:
    """A power loss takes the sector of both: neither is left to say that there were some."""
    from inprocess import no_waits

    no_waits(monkeypatch)
    configured = settings_for(home / "t.db")
    writer = writer_of(configured, doomed=True)
    writer._prelude = records.encode_rules(rules().as_text(), applied=False)
    for number in range(10):
        writer.append(node_payload("r", f"n{number}", input_data=f"{MAIL} {'x' * 1000}"))
    (path,) = (home / "t.db.spool").glob("*.seg")
    die(writer)
    with path.open("r+b") as file:
        file.write(bytes(torn))
    with owning(configured) as owner:
        owner.drain()
        assert beside_the_spool(home) == []
    assert set(rows(home / "t.db", "SELECT node_name, input_data FROM node_traces")) == {(MASK, None)}


# ------------------------------------------------------------------ ids


def test_wait_delivered_finds_a_request_by_the_id_that_the_app_knows(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one is stored."""
    configure(monkeypatch, home)
    to = Destination("file", name="file", path=str(home / "out.jsonl"))
    app = App(home / "t.db", destinations=[to])
    app.tracer.start_span("chat", attributes={"hush.request_id": MAIL}).end()
    with owning(app.settings) as owner:
        eventually(
            lambda: [owner.step(), rows(app.db_path, "SELECT 1 FROM deliveries WHERE state='delivered'")][1]
        )
        assert app.store.wait_delivered(5_000, MAIL)
    assert beside_the_spool(home) == []


def test_parents_of_nodes_are_found_by_names_that_are_hidden(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends of the relation are hidden alike."""
    configure(monkeypatch, home)
    app = App(home / "t.db")
    app.store.insert_node_trace("r", "w", f"root {MAIL}", None, None, 1, None, None, 1.0, None, None)
    app.store.insert_node_trace("r", "w", "leaf", f"root {MAIL}", None, 2, None, None, 1.0, None, None)
    app.store.mark_request_complete("r", "file", {"path": str(home / "out.jsonl")})
    with owning(app.settings) as owner:
        eventually(
            lambda: [owner.step(), rows(app.db_path, "SELECT 1 FROM deliveries WHERE state='delivered'")][1]
        )
    spans = {span["name"]: span for span in app.spans()}
    assert spans["leaf"]["parent_span_id"] == spans["w"]["span_id"]


# ------------------------------------------------------------------ configuration


def test_an_empty_table_hides_what_is_ready(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turning it on is one line."""
    configure(monkeypatch, home)
    assert Settings.load(home / "t.db").redaction == rules()
    assert rules().values == ("email", "card", "bearer", "api_key", "userinfo")


def test_without_a_table_nothing_is_hidden(home: Path) -> None:
    """And no segment begins with rules."""
    app = App(home / "t.db")
    app.store.insert_node_trace("r", "w", "n", None, None, 1, None, None, 1.0, MAIL, None)
    (path,) = (home / "t.db.spool").glob("*.seg")
    assert path.read_bytes()[256 + 8 + 1] != records.RULES
    app.drain()
    assert app.nodes()[0]["input_data"] == MAIL
