"""Sessions, statistics, comparison, deliveries, downloads, the data flow: each answers, and what is wrong is said."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pages import browser, serving
from store_rows import START_NS, StoreRows

from hush_otel.store import reading

TRACE = f"{2:032x}"  # the destination is number 1
PNG = b"\x89PNG\r\n\x1a\n picture"
SVG = b"<svg onload='alert(1)'/>"


def attach(db: Path, span: int, number: int, data: bytes, content_type: str) -> str:
    """Give a span a file; returns its hash."""
    digest = hashlib.sha256(data)
    with sqlite3.connect(db) as connection:
        cursor = connection.execute(
            "INSERT INTO hush_media (digest, data) VALUES (?, ?)", (digest.digest(), data)
        )
        row = (span, number, cursor.lastrowid, content_type)
        connection.execute("INSERT INTO hush_span_media VALUES (?, ?, ?, ?)", row)
    connection.close()
    return digest.hexdigest()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Two requests of one session, the first with deliveries and data that flows."""
    path = tmp_path / "traces.db"
    documents = {"documents": ["a long document", "another"]}
    with StoreRows(path) as rows:
        there = rows.destination("there")
        first = rows.request("first", session_id="s/1", user_id="ana", error_count=1)
        rows.span(
            first,
            1,
            end_ns=START_NS + 90,
            start_ns=START_NS,
            attributes=json.dumps({"output.value": json.dumps(documents)}),
        )
        rows.span(
            first,
            2,
            start_ns=START_NS + 100,
            attributes=json.dumps(
                {"input.value": json.dumps({"docs": documents["documents"], "k": 3}), 'a"key': "its value"}
            ),
        )
        rows.long_span(first, 3, "input.value", "long " * 50_000)
        rows.delivery(first, there, "delivered")
        rows.delivery(first, there, "dead", last_error="400")
        second = rows.request("second", session_id="s/1")
        rows.span(second, 1)
        rows.delivery(second, there, "pending")
    return path


@pytest.fixture
def page(db: Path) -> Iterator[httpx.Client]:
    """A browser that is logged in."""
    with serving(db) as server, browser(server) as client:
        yield client


def get(page: httpx.Client, path: str, **params: Any) -> Any:
    """An answer in JSON."""
    answer = page.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_sessions_and_their_requests(page: httpx.Client) -> None:
    """The oldest request first; an id with a slash."""
    (session,) = get(page, "/api/sessions")["sessions"]
    assert (session["session_id"], session["request_count"], session["error_count"]) == ("s/1", 2, 1)
    requests = get(page, "/api/sessions/s%2F1")["requests"]
    assert [each["request_id"] for each in requests] == ["first", "second"]
    assert get(page, "/api/facets")["users"] == ["ana"]


def test_statistics(page: httpx.Client) -> None:
    """Grouped, over time, as points; what cannot be is refused."""
    (row,) = get(page, "/api/stats", by="workflow")["rows"]
    assert (row["key"], row["count"], row["error_count"]) == ("answer", 2, 1)
    assert len(get(page, "/api/latency")["points"]) == 2
    assert sum(bucket["count"] for bucket in get(page, "/api/timeline")["buckets"]) == 2
    assert get(page, "/api/stats", by="day", since="1h")["rows"] == []
    for params in ({"by": "phase of the moon"}, {"since": "yore"}):
        assert page.get("/api/stats", params=params).status_code == 400


def test_two_requests_side_by_side(page: httpx.Client) -> None:
    """Aligned steps; a request that is not there is said."""
    found = get(page, "/api/compare", a="first", b="second")
    assert (found["a"]["request_id"], found["b"]["request_id"]) == ("first", "second")
    assert {row["in"] for row in found["rows"]} == {"both", "a"}
    assert page.get("/api/compare", params={"a": "first", "b": "no"}).status_code == 404
    assert page.get("/api/compare", params={"a": "first", "b": ""}).status_code == 400


def test_the_foot_of_the_page_counts_no_rows(page: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few seconds it is asked for: of ten million spans, requests or deliveries none is looked at for it."""
    asked, query = set[str](), reading._query

    def noted(name: str) -> str:
        asked.add(name)
        return query(name)

    monkeypatch.setattr(reading, "_query", noted)
    found = get(page, "/api/status")
    assert {"database", "spool", "spans", "losses", "destinations", "backlog_bytes"} <= set(found)
    assert "span_count" in asked
    assert not asked & {"status_spans", "status_requests", "status_deliveries"}


def differing(tmp_path: Path, a: str, b: str, key: str = "input.value") -> Any:
    """What the page gets of a step that differs in this."""
    with StoreRows(tmp_path / "two.db") as rows:
        for number, (request_id, value) in enumerate((("a", a), ("b", b)), start=1):
            rows.span(rows.request(request_id), number, attributes=json.dumps({key: value}))
    with serving(tmp_path / "two.db") as server, browser(server) as client:
        (row,) = get(client, "/api/compare", a="a", b="b")["rows"]
        spans = {f"{side}_span": f"{row[side]['trace_id']}-{row[side]['span_id']}" for side in "ab"}
        return get(client, "/api/compare/step", a="a", b="b", **spans)


def test_a_step_says_in_which_lines_it_differs(tmp_path: Path) -> None:
    """As a unified diff, JSON indented; null for the side that is the same."""
    found = differing(tmp_path, '{"k":1,"l":[2,3]}', '{"k":1,"l":[2,4]}')
    lines = ["@@ -4,3 +4,3 @@", "     2,", "-    3", "+    4", "   ]"]
    assert found == {"input": {"lines": lines, "more": 0, "cut": False}, "output": None}


def test_what_turns_text_is_no_less_a_difference(tmp_path: Path) -> None:
    """Lines come as they are: the page writes out what cannot be seen."""
    found = differing(tmp_path, "left", "le\u202eft", "output.value")
    assert found["output"]["lines"] == ["@@ -1 +1 @@", "-left", "+le\u202eft"]


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ("same " * 14_000 + "a", "same " * 14_000 + "b", {"lines": [], "more": 0, "cut": True}),
        ("\n".join("a" * 1_200), "\n".join("b" * 1_200), {"more": 1_601, "cut": True}),
        ("\n".join("a" * 300), "\n".join("b" * 300), {"more": 201, "cut": False}),
    ],
    ids=["differ late", "many lines", "some lines"],
)
def test_long_texts_are_compared_in_part_and_that_is_said(
    tmp_path: Path, a: str, b: str, said: dict[str, object]
) -> None:
    """How many lines are left out, and whether there is more that nobody has compared."""
    found = differing(tmp_path, a, b)["input"]
    assert found | said == found
    assert len(found["lines"]) <= 400


def test_a_step_that_is_not_there_is_said(page: httpx.Client) -> None:
    """In the other request, or in none; ids that cannot be are refused."""
    one, none = f"{TRACE}-{1:016x}", f"{TRACE}-{9:016x}"
    for a_span, status in ((none, 404), ("x-1", 400), ("", 400)):
        asked = {"a": "first", "b": "second", "a_span": a_span, "b_span": one}
        assert page.get("/api/compare/step", params=asked).status_code == status
    assert page.get("/api/compare/step", params={"a": "first", "b": ""}).status_code == 400


def test_deliveries_page_by_page_and_by_state(page: httpx.Client) -> None:
    """The newest first, each page behind the one before; how each destination is."""
    first = get(page, "/api/deliveries", limit=2)
    assert [each["state"] for each in first["deliveries"]] == ["pending", "dead"]
    rest = get(page, "/api/deliveries", limit=2, before=first["next"])
    assert [each["state"] for each in rest["deliveries"]] == ["delivered"]
    assert rest["next"] is None
    dead = get(page, "/api/deliveries", state="dead,paused")["deliveries"]
    assert [each["state"] for each in dead] == ["dead"]
    assert first["destinations"][0]["dead"] == 1
    assert page.get("/api/deliveries?state=odd").status_code == 400


def test_an_input_leads_to_the_span_that_gave_it_out(page: httpx.Client) -> None:
    """By the value of its keys; numbers tell nothing."""
    found = get(page, f"/api/requests/first/spans/{TRACE}/{2:016x}")["flow"]
    assert found == [{"key": "docs", "trace_id": TRACE, "span_id": f"{1:016x}", "name": "span-1"}]


def test_the_search_for_where_an_input_comes_from_leaves_no_query_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops as soon as everything is found; a query that outlives its reader is said on the terminal."""
    asked, left_behind = list[Generator[Any, None, None]](), list[Generator[Any, None, None]]()
    each, close = reading.Reader.each, reading.Reader.close

    def noted(reader: reading.Reader, name: str, **params: Any) -> Generator[Any, None, None]:
        rows = each(reader, name, **params)
        if name == "earlier_outputs":
            asked.append(rows)
        return rows

    def closed(reader: reading.Reader) -> None:
        left_behind.extend(rows for rows in asked if rows.gi_frame is not None)
        close(reader)

    monkeypatch.setattr(reading.Reader, "each", noted)
    monkeypatch.setattr(reading.Reader, "close", closed)
    out, into = json.dumps({"text": "a long document"}), json.dumps({"document": "a long document"})
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r")
        for number in (1, 2):
            said = json.dumps({"output.value": out})
            rows.span(request, number, start_ns=START_NS, end_ns=START_NS + number, attributes=said)
        rows.span(request, 3, start_ns=START_NS + 9, attributes=json.dumps({"input.value": into}))
    with serving(tmp_path / "t.db") as server, browser(server) as client:
        found = get(client, f"/api/requests/r/spans/{1:032x}/{3:016x}")["flow"]
    assert [each["span_id"] for each in found] == [f"{2:016x}"]
    assert asked
    assert not left_behind


def test_a_text_comes_whole_as_a_file(page: httpx.Client) -> None:
    """Long or not; by the attribute's key, whatever is in that; what is not there is said."""
    span = f"/api/requests/first/spans/{TRACE}"
    long = page.get(f"{span}/{3:016x}/payload", params={"of": "input"})
    assert long.text == "long " * 50_000
    assert long.headers["content-disposition"] == f'attachment; filename="hush-{3:016x}-input.txt"'
    attribute = page.get(f"{span}/{2:016x}/payload", params={"of": "attribute", "key": 'a"key'})
    assert attribute.text == "its value"
    assert page.get(f"{span}/{2:016x}/payload", params={"of": "output"}).status_code == 404
    assert page.get(f"{span}/{2:016x}/payload", params={"of": "attribute"}).status_code == 404
    assert page.get(f"{span}/{2:016x}/payload", params={"of": "soul"}).status_code == 400


def attributes(db: Path, span: int, **found: object) -> None:
    """Have a span say this, and nothing else; `_` in a key stands for a point."""
    said = json.dumps({key.replace("_", "."): value for key, value in found.items()})
    with sqlite3.connect(db) as connection:
        connection.execute("UPDATE hush_spans SET attributes = ? WHERE span_id = ?", (said, span.to_bytes(8)))
    connection.close()


def test_files_have_their_names_and_missing_ones_say_why(db: Path, page: httpx.Client) -> None:
    """One file under two names has both; what could not be taken has no hash."""
    digests = [attach(db, 1, 0, PNG, "image/png"), attach(db, 1, 1, SVG, "image/svg+xml")]
    with sqlite3.connect(db) as connection:
        connection.execute(
            "INSERT INTO hush_span_media SELECT 1, 2, media, 'image/png' FROM hush_span_media WHERE number = 0"
        )
    connection.close()
    said = [{"name": "chart", "sha256": digests[0]}, {"name": "scan", "content_type": "image/png", "missing": "too large"},
            {"name": "logo", "sha256": digests[1]}, {"name": "copy", "sha256": digests[0]}]  # fmt: skip
    attributes(db, 1, hush_media=json.dumps(said))
    found = get(page, f"/api/requests/first/spans/{TRACE}/{1:016x}")["media"]
    assert [(each["name"], each["missing"]) for each in found] == [
        ("chart", None),
        ("logo", None),
        ("copy", None),
        ("scan", "too large"),
    ]
    assert (found[3]["sha256"], found[3]["content_type"]) == (None, "image/png")


@pytest.mark.parametrize("said", ["[", "{}", '[1, null, {"missing": 3}]', "[" * 5000, 7, "x" * 70_000])
def test_what_a_span_says_of_its_files_may_be_anything(db: Path, page: httpx.Client, said: object) -> None:
    """The files are there all the same, without names."""
    digest = attach(db, 1, 0, PNG, "image/png")
    attributes(db, 1, hush_media=said)
    first = get(page, f"/api/requests/first/spans/{TRACE}/{1:016x}")["media"][0]
    assert (first["name"], first["sha256"], first["missing"]) == (None, digest, None)


def test_pictures_are_shown_and_everything_else_is_a_file(db: Path, page: httpx.Client) -> None:
    """Whatever type a span claims: what a browser might run, it only saves."""
    picture, drawing = attach(db, 1, 0, PNG, "image/png"), attach(db, 1, 1, SVG, "image/svg+xml")
    span = f"/api/requests/first/spans/{TRACE}/{1:016x}"
    listed = get(page, "/api/requests/first")["media"]
    assert [each["sha256"] for each in listed] == [each["sha256"] for each in get(page, span)["media"]]
    shown = page.get(f"{span}/media/{picture}")
    assert (shown.content, shown.headers["content-type"]) == (PNG, "image/png")
    saved = page.get(f"{span}/media/{drawing}")
    assert (saved.content, saved.headers["content-type"]) == (SVG, "application/octet-stream")
    assert saved.headers["content-disposition"] == f'attachment; filename="{drawing}"'
    assert page.get(f"{span}/media/{'0' * 64}").status_code == 404
    assert page.get(f"{span}/media/nothing").status_code == 400
