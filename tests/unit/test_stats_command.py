"""`hush-otel stats` and `hush-otel diff`: figures as people and programs get them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console
from store_rows import START_NS, StoreRows

from hush_otel.cli import diff, main, stats, steps
from hush_otel.presentation import statistics
from hush_otel.presentation.compare import compare
from hush_otel.store.reading import Reader

HOSTILE = "\x1b[31mred\r\nline" + "x" * 200


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Two requests of one workflow; one has a step more, and another answer."""
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        for name, first, answer in (("one", 1, "yes"), ("two", 11, "no")):
            request = rows.request(name, error_count=int(name == "two"), total_tokens=30, cost_usd=0.01)
            rows.label(request, 0, HOSTILE)
            rows.span(request, first, name="answer", end_ns=START_NS + first * 40_000_000)
            attributes = json.dumps({"input.value": "why?", "output.value": answer})
            rows.span(
                request, first + 1, first, name="chat", attributes=attributes, model=HOSTILE, node_type="llm",
                prompt_tokens=20, completion_tokens=10 + first, cost_usd=0.01,
            )  # fmt: skip
        rows.span(request, 13, 11, name=HOSTILE, status_code=2)
    return path


def run(db: Path, *args: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(main.cli, ["--db", str(db), *args], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_stats_by_all_three(db: Path) -> None:
    """A table each, a blank line between them, heads first, every row on one line without blanks at its end."""
    out = run(db, "stats", "--since", "2000-01-01")
    lines = out.splitlines()
    heads = [line.partition(" ")[0] for line in lines]
    assert heads[:4] + heads[5:7] == ["workflow", "answer", "", "model", "", "day"]
    assert heads[4] == f"red↵line{'x' * 51}…"
    assert lines[1].split()[1:6] == ["2", "1", "(50%)", "1.24", "s"]
    assert not any(line.endswith(" ") for line in lines)
    assert "\x1b" not in out


def test_stats_json(db: Path) -> None:
    """One object with what was asked for, in full."""
    found = json.loads(run(db, "stats", "--since", "2000-01-01", "--by", "model", "--json"))
    assert list(found) == ["model"]
    (row,) = found["model"]["rows"]
    assert (row["key"], row["count"], row["p95_ms"], row["prompt_tokens"]) == (HOSTILE, 2, 12.3, 40)
    assert found["model"]["complete"] is True


def test_stats_of_nothing(db: Path) -> None:
    """A time without requests is no error."""
    assert run(db, "stats", "--since", "1h") == "no requests in that time\n"


def test_stats_say_when_they_are_not_of_all(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest were looked at."""
    monkeypatch.setattr(statistics, "MOST_REQUESTS", 1)
    assert "of the newest 1 requests of that time; there are more" in run(
        db, "stats", "--since", "2000-01-01", "--by", "day"
    )


def test_diff_shows_steps_side_by_side(db: Path) -> None:
    """Marks, durations with their change, tokens, and what differs."""
    lines = run(db, "diff", "one", "two").splitlines()
    assert lines[0].split()[:3] == ["A", "one", "answer"]
    answer, chat, extra = lines[4:7]
    assert answer.split() == ["answer", "40.0", "ms", "440", "ms", "11x"]
    assert chat.split() == ["chat", "12.3", "ms", "12.3", "ms", "20→11", "⇢", "20→21", "$0.01", "output"]
    assert extra.startswith("+   red↵line")
    assert lines[-1] == "3 steps: 2 in both, 1 only in B, 1 with another output"


def test_diff_with_the_lines_that_differ(db: Path) -> None:
    """Of inputs and outputs of the same step, with marks; what is the same is left out."""
    out = run(db, "diff", "one", "two", "--io")
    _, _, after = out.partition("\nchat\n")
    assert after.splitlines() == ["  output", "    @@ -1 +1 @@", "    -yes", "    +no"]


def test_diff_of_long_texts_is_bounded(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some lines, and how many more there are."""
    monkeypatch.setattr(diff, "MOST_LINES", 2)
    assert run(db, "diff", "one", "two", "--io").endswith("    @@ -1 +1 @@\n    -yes\n    … 1 more line\n")


def test_diff_json(db: Path) -> None:
    """Both requests, and a row for each step."""
    found = json.loads(run(db, "diff", "one", "two", "--json"))
    assert (found["a"]["request_id"], found["b"]["request_id"]) == ("one", "two")
    assert [(row["name"], row["in"], row["output_differs"]) for row in found["rows"][:2]] == [
        ("answer", "both", False),
        ("chat", "both", True),
    ]


@pytest.mark.parametrize("width", [50, 60, 100, 160])
def test_tables_fit_the_terminal(db: Path, width: int) -> None:
    """No line is longer, whatever is in a name."""
    out = Console(width=width, force_terminal=True, color_system=None, markup=False)
    with Reader(db) as reader, out.capture() as captured:
        stats._render(out, "model", statistics.grouped(reader, "model", statistics.Window()))
        out.print(steps.Steps(compare(reader, "one", "two")))
    assert all(len(line) <= width for line in captured.get().splitlines())


@pytest.mark.parametrize(
    ("a", "b", "shown"),
    [
        (10, 10.2, ""),
        (10, 15, "+50%"),
        (10, 5, "-50%"),
        (10, 25, "2.5x"),
        (1, 1000, "1000x"),
        (0, 5, ""),
        (None, 5, ""),
    ],
)
def test_how_a_duration_changed(a: float | None, b: float | None, shown: str) -> None:
    """In percent, then in multiples; nothing where there is nothing to say."""
    assert steps.change(a, b).text == shown
