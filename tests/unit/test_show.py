"""`hush-otel show`: contents as people read them, single nodes in full, and bars where there is room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from store_rows import START_NS, StoreRows

from hush_otel.cli import contents, main, show
from hush_otel.cli.bars import bars_of
from hush_otel.presentation import text
from hush_otel.store.reading import Reader

HOSTILE = "a\x1b[31mred\x1b]0;title\x07\r\n\tnext\u202egnp\x00"
CALL = {
    "gen_ai.operation.name": "chat",
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be short.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.content": "Weather in Rome?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "weather",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"city":"Rome"}',
    "temperature": 0.5,
}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A request with a call, a step with JSON, one with a long text, and one with hostile contents."""
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        request = rows.request("r1")
        rows.span(request, 1, name="root", end_ns=START_NS + 100_000_000)
        rows.span(request, 2, 1, name="chat", node_type="llm", attributes=json.dumps(CALL))
        step = {"input.value": '{"b":[1,2]}', "output.value": '"said so"'}
        events = [
            {
                "name": "retry",
                "time_ns": START_NS + 2_000_003,
                "attributes": {"n": 2},
                "dropped_attributes": 0,
            }
        ]
        rows.span(request, 3, 1, name="step", attributes=json.dumps(step), events=json.dumps(events))
        rows.span(request, 4, 1, name="long", attributes=json.dumps({"input.value": "line\n" * 100}))
        rows.span(
            request, 5, 1, name=HOSTILE, status_code=2, status_message=HOSTILE,
            attributes=json.dumps({HOSTILE: HOSTILE, "input.value": HOSTILE}),
        )  # fmt: skip
        failed, said = rows.request("failed"), {"exception.type": "KeyError", "exception.message": "'sku'"}
        stack = (
            "Traceback (most recent call last):\n" + '  File "shop.py", line 1\n' * 40 + "KeyError: 'sku'\n"
        )
        for n, name, message, exception in (
            (11, "lookup", "no such item", said | {"exception.stacktrace": stack}),
            (12, "same", "KeyError: 'sku'", said),
            (13, "silent", None, None),
        ):
            event = {
                "name": "exception",
                "time_ns": START_NS,
                "attributes": exception,
                "dropped_attributes": 0,
            }
            rows.span(
                failed, n, name=name, status_code=2, status_message=message,
                events=json.dumps([event] if exception else []),
            )  # fmt: skip
        odd = {"hush.invalid.start_time": "yesterday", "hush.invalid.end_time": "tomorrow"}
        given = {"node_name": "fine", "parent_name": None, "duration_ms": -5.0}
        rows.span(failed, 14, name="fine", node=json.dumps(given), attributes=json.dumps(odd))
    return path


def run(db: Path, *args: str) -> Result:
    """One command in this process."""
    return CliRunner().invoke(main.cli, ["--db", str(db), "show", *args], catch_exceptions=False)


def section(out: str, name: str) -> list[str]:
    """The lines below the head of one span, in the part that shows contents."""
    _, _, after = out.partition(f"\n✓ {name}  12.3 ms\n")
    return after.partition("\n\n")[0].splitlines()


def test_a_call_is_shown_as_a_conversation(db: Path) -> None:
    """Who said what, and which tools were called with what."""
    assert section(run(db, "r1", "--io").stdout, "chat") == [
        "  system",
        "    Be short.",
        "  user",
        "    Weather in Rome?",
        "  assistant",
        "    → calls weather c1",
        "      {",
        '        "city": "Rome"',
        "      }",
    ]


def test_json_is_indented_and_quoted_text_is_text(db: Path) -> None:
    """What is no conversation has an input and an output."""
    assert section(run(db, "r1", "--io").stdout, "step") == [
        "  input",
        "    {",
        '      "b": [',
        "        1,",
        "        2",
        "      ]",
        "    }",
        "  output",
        "    said so",
    ]


def test_failed_steps_without_contents_are_shown_with_what_went_wrong(db: Path) -> None:
    """Type, message and the last lines of the stack; of a step that says nothing at all its mark."""
    *_, lookup, same, silent = run(db, "failed", "--io").stdout.split("\n\n")
    lines = lookup.splitlines()
    assert lines[:5] == [
        "✗ lookup  12.3 ms",
        "  error",
        "    no such item",
        "    KeyError: 'sku'",
        "  stack",
    ]
    assert "… the end of 1,051 characters; all: " in lines[5]
    assert len(lines) == 6 + contents.LINES
    assert lines[-1] == "    KeyError: 'sku'", "what was raised, and where: a stack ends with both"
    assert same == "✗ same  12.3 ms\n  error\n    KeyError: 'sku'", "what the SDK writes twice"
    assert silent == "✗ silent  12.3 ms\n"


def test_long_texts_are_cut_and_say_how_to_see_all(db: Path) -> None:
    """Some lines, the size, and a command that shows the rest."""
    lines = section(run(db, "r1", "--io").stdout, "long")
    assert lines.count("    line") == contents.LINES
    assert "… of 500 characters; all: " in lines[-1]
    assert lines[-1].endswith(f"show r1 --node {4:016x}")
    assert run(db, "r1", "--node", f"{4:016x}").stdout.count("\n    line") == 100


def test_a_node_in_full(db: Path) -> None:
    """Figures, contents, attributes, events, resource: nothing is left out."""
    out = run(db, "r1", "--node", "step").stdout
    for part in (
        f"span     {3:016x}",
        "  event retry  after 2.00 ms",
        "    n  2",
        "    service.name  shop",
        "said so",
    ):
        assert part in out
    out = run(db, "r1", "--node", "chat").stdout
    assert "    temperature  0.5" in out
    assert "type     llm" in out


def test_several_nodes_in_the_order_of_execution(db: Path) -> None:
    """By name or span id, whatever order they were asked for in; as JSON a line each."""
    out = run(db, "r1", "--node", "step", "--node", f"{2:016x}", "--json").stdout
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["name"] for one in found] == ["chat", "step"]
    assert found[1]["input"] == '{"b":[1,2]}'
    assert found[1]["events"][0]["name"] == "retry"
    assert found[0]["resource"] == {"service.name": "shop"}


def test_values_that_could_not_be_read_are_named(db: Path) -> None:
    """An application gave them; what stands in their place is a guess."""
    out = run(db, "failed", "--node", "fine").stdout
    assert "    odd    2 values could not be read: start_time, end_time\n" in out
    assert "    odd    its duration is negative\n" in out
    assert "could not be read" not in run(db, "failed", "--node", "same").stdout


def test_a_node_that_is_not_there(db: Path) -> None:
    """The message lists those that are."""
    with pytest.raises(Exception, match=r"no node 'nobody' in r1 .there are root, chat, step, long, a"):
        run(db, "r1", "--node", "nobody")


def test_b13_hostile_contents_are_harmless(db: Path) -> None:
    """Escapes, controls and bidi marks in names, keys and values: gone in every way of showing them."""
    for args in (("--io",), ("--node", f"{5:016x}")):
        out = run(db, "r1", *args).stdout
        assert "ared" in out
        assert not set("\x1b\x07\r\u202e\x00\t") & set(out)


def test_attachments_are_named_at_their_span(tmp_path: Path) -> None:
    """Name, type and size, or why there is none; what says something else than files has none."""
    files: list[object] = [
        {"name": "chart.png", "content_type": "image/png", "size": 2048, "sha256": "ab"},
        {"name": HOSTILE, "missing": "no such file"},
        7,
    ]
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r")
        rows.span(request, 1, name="draw", attributes=json.dumps({"hush.media": json.dumps(files)}))
        rows.span(request, 2, name="odd", attributes=json.dumps({"hush.media": "[oops"}))
    drawn = run(tmp_path / "t.db", "r", "--io").stdout.rpartition("✓ draw  12.3 ms\n")[2].splitlines()
    assert drawn[:2] == ["  files", "    chart.png  image/png  2.0 KiB"]
    assert drawn[2].endswith(": missing, no such file")
    assert "\x1b" not in drawn[2]
    assert len(drawn) == 3


def test_different_things_to_show_exclude_each_other(db: Path) -> None:
    """A usage error, not one of them silently."""
    assert run(db, "r1", "--io", "--node", "step").exit_code == 2


@pytest.mark.parametrize("width", [40, 60, 100, 160])
def test_contents_fit_the_terminal(db: Path, width: int) -> None:
    """Long lines are folded, and stay below their label."""
    out = Console(width=width, force_terminal=True, color_system=None, markup=False)
    with Reader(db) as reader, out.capture() as captured:
        show.render(out, reader, "r1")
        show._show_io(out, reader, "r1")
    lines = [line for line in captured.get().splitlines() if "--node" not in line]
    assert max(map(len, lines)) <= width


# ------------------------------------------------------------------ bars


def row(start: float | None, duration_ms: float | None, status: str = "ok") -> dict[str, Any]:
    """As request_tree has it; start in milliseconds."""
    return {"start_ns": None if start is None else start * 1e6, "duration_ms": duration_ms, "status": status}


def test_bars_stand_where_and_as_long_as_spans_ran() -> None:
    """In halves of cells; the shortest span has one."""
    rows = [row(0, 160), row(80, 80), row(10, 10), row(159.9, 0), row(None, 5), row(10, None)]
    bars = bars_of(rows, 16)
    assert bars is not None
    assert [bars.of(one) for one in rows] == [
        "━" * 16,
        " " * 8 + "━" * 8,
        " ━" + " " * 14,
        " " * 15 + "╺",
        " " * 16,
        " " * 16,
    ]


def test_what_runs_reaches_to_now() -> None:
    """Its bar ends at the right."""
    rows = [row(0, None, "running"), row(0, 1)]
    bars = bars_of(rows, 20)
    assert bars is not None
    assert bars.of(rows[0]) == "━" * 20


def test_no_bars_where_there_is_no_room_or_no_time() -> None:
    """A narrow terminal, nothing, and spans without duration."""
    assert bars_of([row(0, 10)], 15) is None
    assert bars_of([], 40) is None
    assert bars_of([row(0, 0)], 40) is None


def test_bars_stand_in_a_wide_terminal_and_not_in_a_pipe(db: Path) -> None:
    """Between names and durations, aligned."""
    for width, there in ((50, False), (120, True)):
        out = Console(width=width, force_terminal=True, color_system=None, markup=False)
        with Reader(db) as reader, out.capture() as captured:
            show.render(out, reader, "r1")
        assert ("━" in captured.get()) == there
    assert "━" not in run(db, "r1").stdout


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('{"a":1}', '{\n  "a": 1\n}'),
        ("[oops", "[oops"),
        ('"x"', "x"),
        (r'{"a":"\u00dc \ud83d\ude00 \\u00dc"}', '{\n  "a": "Ü 😀 \\\\u00dc"\n}'),
        (r'["\u202e\u0007\u2028\u0022"]', '[\n  "\\u202e\\u0007\\u2028\\u0022"\n]'),
        ('"x" or "y"', '"x" or "y"'),
        ("3", "3"),
        ("", ""),
    ],
)
def test_readable(value: str, shown: str) -> None:
    """JSON objects and lists indented, quoted texts unquoted, all else as it is."""
    assert text.readable(value) == shown
