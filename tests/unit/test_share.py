"""`hush-otel share`: one request to give away: complete, redacted, and inert whatever was recorded."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from store_rows import StoreRows

from hush_otel.cli import main, share_html
from hush_otel.presentation import files

HOSTILE = "</pre></title><script>alert(1)</script><img src=x onerror=alert(2)>\"'`\x1b[31m\u202e```\n# head\njavascript:alert(3)"
CANARY = "canary@example.com"
DEEP = 3_000
CARD = "4111 1111 1111 1111"

TAGS = frozenset(
    {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "header",
            "h1",
            "h2",
            "dl",
            "div",
            "dt",
            "dd",
            "main",
        ),
        *(
            "details",
            "summary",
            "span",
            "i",
            "b",
            "small",
            "svg",
            "rect",
            "pre",
            "p",
            "table",
            "tr",
            "th",
            "td",
        ),
        "footer",
    }
)
ATTRIBUTES = frozenset(
    {
        *("lang", "charset", "http-equiv", "content", "name", "class", "open", "title", "viewbox"),
        *("preserveaspectratio", "aria-hidden", "x", "y", "width", "height", "rx"),
    }
)


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A request with secrets and hostile contents in every place that an application writes."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "traces.db"
    bad = f"{HOSTILE} {CANARY}"
    with StoreRows(path) as rows:
        request = rows.request(
            f"order of {CANARY}", workflow_name=bad, user_id=CANARY, session_id=CANARY, tags=json.dumps([CANARY]),
            error_message=bad, error_count=1, tracer_type="otlp", tracer_config='{"endpoint":"http://canary-endpoint"}',
        )  # fmt: skip
        rows.label(request, 0, bad)
        rows.span(request, 1, name="root")
        attributes = {
            "hush.request_id": f"order of {CANARY}",
            "user.id": CANARY,
            "api_key": "canary-under-a-key",
            "url.full": "postgres://joe:tiger@db/shop",
            bad: bad,
            "input.value": json.dumps({"mail": CANARY, "deep": json.dumps({"card": CARD})}),
            "llm.output_messages.0.message.role": bad,
            "llm.output_messages.0.message.content": bad,
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": bad,
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": json.dumps(
                {"to": CANARY}
            ),
        }
        events = [{"name": bad, "time_ns": 1, "attributes": {bad: bad}, "dropped_attributes": 0}]
        rows.span(
            request, 2, 1, name=bad, status_code=2, status_message=bad, model=bad, user_id=CANARY, node_type=bad,
            attributes=json.dumps(attributes), events=json.dumps(events),
        )  # fmt: skip
        odd = {"start_time": f"when {CANARY} asked", "end_time": CANARY}
        rows.node(request, 3, bad, "root", context_id=f"[{CANARY}]", metadata={"who": CANARY}, **odd)
        rows.request("plain", session_id="s")
        rows.span(
            rows.request("long"), 21, name="step", attributes=json.dumps({"input.value": "word " * 2_000})
        )
        tagged = rows.request("tagged", tags=json.dumps(["pro\u00df", "eu"]))
        rows.span(
            tagged, 31, name="step", attributes=json.dumps({"input.value": json.dumps({"at": "Stra\u00dfe"})})
        )
        calls = rows.request("calls")
        rows.span(calls, 41, name="root")
        rows.span(calls, 42, 41, name="chat", model="gpt<4>")
        request = rows.request("deep")
        for n in range(DEEP):
            rows.span(request, 100 + n, 99 + n if n else None, name="step")
    return path


def run(db: Path, *args: str, code: int = 0) -> Result:
    """One command in this process."""
    result = CliRunner().invoke(main.cli, ["--db", str(db), "share", *args], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


class Seen(HTMLParser):
    """Which tags and attributes a browser would see, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags = set[str]()
        self.attributes = dict[str, set[str]]()
        self.text = ""
        self.style = ""
        self._within = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Noted."""
        self.tags.add(tag)
        self._within = tag
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")

    def handle_endtag(self, tag: str) -> None:
        """Noted."""
        self._within = ""

    def handle_data(self, data: str) -> None:
        """Kept."""
        if self._within == "style":
            self.style += data
        else:
            self.text += data


def test_b13_hostile_contents_are_text(db: Path) -> None:
    """Only our own tags and attributes, whatever is in names, keys and values; no escapes, no bidi marks."""
    html = run(db, "order", "-").stdout
    seen = Seen(html)
    assert seen.tags <= TAGS
    assert set(seen.attributes) <= ATTRIBUTES
    assert "<script>alert(1)</script>" in seen.text
    assert not {"\x1b", "\u202e"} & set(html)


def test_the_policy_forbids_everything_but_its_own_style(db: Path) -> None:
    """By the hash of what stands there; no address is loaded."""
    html = run(db, "order", "-").stdout
    seen = Seen(html)
    digest = base64.b64encode(hashlib.sha256(seen.style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert policy in seen.attributes["content"]
    assert "url(" not in seen.style
    assert "@import" not in seen.style
    assert html.index("Content-Security-Policy") < html.index("<style>")


@pytest.mark.parametrize("form", [(), ("--markdown",), ("--json",)], ids=["html", "markdown", "json"])
def test_s13_redact_hides_everywhere(db: Path, form: tuple[str, ...]) -> None:
    """A secret planted in every place is in neither form, nor is where the request was sent."""
    out = run(db, "order", "-", "--redact", *form).stdout
    for secret in (CANARY, "canary", CARD, "4111", "joe:tiger"):
        assert secret not in out
    assert "[redacted]" in out


def test_s13_configured_rules_are_applied_without_asking(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before the rules did is hidden on the way out."""
    config = tmp_path / "hush.toml"
    config.write_text('[redaction]\nkeys = ["api_key"]\nvalues = ["email"]\n')
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    done = run(db, "order", "-")
    assert "canary" not in done.stdout
    assert "4111" in done.stdout
    assert "nothing was hidden" not in done.stderr


def test_without_rules_it_says_that_nothing_was_hidden(db: Path) -> None:
    """And hides nothing."""
    done = run(db, "order", "-")
    assert "nothing was hidden: there is no [redaction]; --redact applies the ready rules" in done.stderr
    assert CANARY in done.stdout
    assert "canary-endpoint" not in done.stdout


def test_a_file_with_a_name_of_ours_for_its_owner_alone(db: Path, tmp_path: Path) -> None:
    """Nothing of a path is taken from an id; a file that is there stays unless --force."""
    assert files.shared_name("../../etc/passwd\n<x>", "html") == "hush-etc-passwd-x.html"
    done = run(db, "plain")
    path = tmp_path / "hush-plain.html"
    assert done.stderr.endswith("written to hush-plain.html\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().endswith("</html>\n")
    with pytest.raises(Exception, match=r"exists \(--force replaces it"):
        run(db, "plain")
    run(db, "plain", "--force")


@pytest.mark.parametrize(
    ("args", "begins"),
    [
        (("x.md",), "# Request"),
        (("x.MARKDOWN",), "# Request"),
        (("x.htm",), "<!doctype"),
        (("x",), "<!doctype"),
        (("x.json",), '{"request":{'),
        (("x.md", "--html"), "<!doctype"),
        (("x.html", "--markdown"), "# Request"),
        (("x.txt", "--markdown"), "# Request"),
    ],
)
def test_the_suffix_says_the_form_unless_an_option_does(
    db: Path, tmp_path: Path, args: tuple[str, ...], begins: str
) -> None:
    """Whoever writes x.md wants Markdown in it."""
    run(db, "plain", *args)
    assert (tmp_path / args[0]).read_text().startswith(begins)


def test_an_unknown_suffix_is_refused(db: Path, tmp_path: Path) -> None:
    """With those that are known, and nothing is written."""
    said = run(db, "plain", "x.pdf", code=2).stderr
    assert "nothing is written as '.pdf', but as .html, .htm, .md, .markdown" in said
    assert not (tmp_path / "x.pdf").exists()


def test_markdown_cannot_be_left(db: Path) -> None:
    """A fence within a text is shorter than the one around it; names are code on one line."""
    out = run(db, "order", "--markdown").stdout
    outside, fence = list[str](), ""
    for line in out.splitlines():
        ticks = re.fullmatch("`{3,}", line)
        if ticks and not fence:
            fence = line
        elif line == fence:
            fence = ""
        elif not fence:
            outside.append(line)
    assert not fence
    assert [line for line in outside if line.startswith("# ")] == [f"# Request `order of {CANARY}`"]
    without_code = [re.sub(r"(`+) ?.*? ?\1(?!`)", "", line) for line in outside]
    assert not [line for line in without_code if "<" in line or "script" in line]


def test_markdown_holds_what_a_model_needs(db: Path) -> None:
    """Figures, the tree, errors, what went in and came out; long texts cut."""
    out = run(db, "long", "--markdown").stdout
    assert "- took: 1.24 s" in out
    assert "✓ step  12.3 ms" in out
    assert "… of 10,000 characters" in out
    assert len(out) < 5_000


def test_headings_name_the_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same step of a loop twice: two headings that are not the same."""
    monkeypatch.chdir(tmp_path)
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r")
        for n, context in enumerate(("[0]", "[1].[7]", "opaque"), start=1):
            body = json.dumps({"node_name": "call", "parent_name": None, "context_id": context})
            rows.span(request, n, name="call", node=body, attributes=json.dumps({"input.value": "x"}))
    lines = run(tmp_path / "t.db", "r", "--markdown").stdout.splitlines()
    assert [line for line in lines if line.startswith("### ")] == [
        "### 1. `call` in pass `[0]`",
        "### 2. `call` in pass `[1].[7]`",
        "### 3. `call`",
    ]


def test_json_has_all_of_each_span(db: Path) -> None:
    """In the order of execution, with attributes and texts whole; it is one object."""
    found = json.loads(run(db, "calls", "--json").stdout)
    assert found["request"]["request_id"] == "calls"
    assert "tracer_config" not in found["request"]
    assert [(span["name"], span["model"]) for span in found["spans"]] == [("root", None), ("chat", "gpt<4>")]
    (long,) = json.loads(run(db, "long", "--json").stdout)["spans"]
    assert long["input"] == long["attributes"]["input.value"] == "word " * 2_000


def test_html_has_a_column_for_models(db: Path) -> None:
    """Beside the figures of each call, as text, and whole where it is cut."""
    html = run(db, "calls", "-").stdout
    assert '<span class="model" title="gpt&lt;4&gt;">gpt&lt;4&gt;</span></summary>' in html
    assert '<span class="model" title=""></span></summary>' in html


@pytest.mark.parametrize("form", ["--html", "--markdown"])
def test_tags_are_words_and_letters_are_letters(db: Path, form: str) -> None:
    """No JSON where people read, no escapes in it where there need be none."""
    out = run(db, "tagged", "-", form).stdout
    assert "pro\u00df, eu" in out
    assert "Stra\u00dfe" in out


def test_long_texts_are_cut_in_html(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page must open."""
    monkeypatch.setattr(share_html, "MOST_CHARS", 20)
    assert re.search(r"\n… of \d+ characters", run(db, "order", "-").stdout)


def test_deep_trees_are_written(db: Path) -> None:
    """A chain of thousands: indentation ends, nothing recurses."""
    seen: Any = run(db, "deep", "-").stdout
    assert seen.count("<details") == DEEP
