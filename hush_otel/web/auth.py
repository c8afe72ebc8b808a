"""Who may talk to the page's server: the browser that was given the login URL, and its own page alone.

Three attackers, and what stands against each:

- *a web page elsewhere*, open in the same browser: it cannot send our cookie (SameSite=Strict) nor read an
  answer (no CORS, CORP); what changes something wants our own Origin as well;
- *the same by DNS rebinding*, whose name resolves to this machine: its Host is not in the list;
- *another user of this machine*, who can connect as we can: he has no token.

Source for Origin and Sec-Fetch-Site: Fetch Metadata Request Headers, and OWASP's sheet on cross-site request
forgery ("Verifying Origin With Standard Headers", "Fetch Metadata").
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hush_otel.errors import PageError

from . import pages
from .answers import error

TOKEN_BYTES: Final = 32
LOGIN: Final = "/login"
OPEN: Final = "/static/"
"""Scripts and styles: the same for everybody, and needed by the page that a browser without a cookie gets."""
API: Final = "/api/"
READING: Final = frozenset({"GET", "HEAD"})
METHODS: Final = READING | {"POST"}
OWN_PAGE: Final = frozenset({"same-origin", "none"})
"""Sec-Fetch-Site of our own page, and of what a person has typed."""


def _token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, kw_only=True)
class Door:
    """What opens one server. All of it ends with the server.

    Attributes:
        host: Where it listens, as it was given.
        port: The same.
        token: Stands in the login URL.
        session: The cookie that the token is exchanged for.
    """

    host: str
    port: int
    token: str = field(default_factory=_token, repr=False)
    session: str = field(default_factory=_token, repr=False)

    @property
    def cookie(self) -> str:
        """Its name. Cookies know no ports: two servers on one machine must not take it from each other."""
        return f"hush_session_{self.port}"

    @property
    def url(self) -> str:
        """The page's own address."""
        host = "127.0.0.1" if self.host == "0.0.0.0" else "::1" if self.host == "::" else self.host  # noqa: S104
        return f"http://{_in_url(host)}:{self.port}"

    @property
    def login_url(self) -> str:
        """What lets a browser in."""
        return f"{self.url}{LOGIN}?token={self.token}"

    def knows_host(self, given: str) -> bool:
        """Whether a Host header names this server, and not a name that somebody else lets point here."""
        name, _, port = given.rpartition(":")
        if port != str(self.port):
            return False
        name = name.lower()
        if name in {"127.0.0.1", "localhost", "[::1]", _in_url(self.host).lower()}:
            return True
        return self._listens_everywhere() and (_is_address(name) or name == socket.gethostname().lower())

    def _listens_everywhere(self) -> bool:
        return self.host in {"0.0.0.0", "::"}  # noqa: S104 - asked for by --host

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries the session's cookie."""
        return any(_same(value, self.session) for value in _cookies(headers.get("cookie", ""), self.cookie))


def _cookies(sent: str, name: str) -> Iterator[str]:
    """The values under a name. Cookies know no ports: those of other programs here may be of any form."""
    for pair in sent.split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            yield value


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _same(given: str, ours: str) -> bool:
    """In a time that tells nothing of where they differ."""
    return secrets.compare_digest(given.encode("utf-8", "replace"), ours.encode())


def _check_method(method: str, path: str) -> None:
    if method not in (READING if path == LOGIN else METHODS):
        raise PageError(405, f"{method[:20]} is not spoken here")


class Gate:
    """Lets through what may pass, and answers the rest itself. An ASGI application around another.

    Args:
        app: What stands behind it.
        door: What opens it.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it. Anything but HTTP is not spoken here: the server ends it."""
        if scope["type"] == "http":
            answer = self._answer(scope, Headers(scope=scope))
            await (answer or self._app)(scope, receive, send)

    def _answer(self, scope: Scope, headers: Headers) -> Response | None:
        """What the gate itself says; None lets the request through."""
        path, method = scope["path"], scope["method"]
        try:
            self._check_sender(headers)
            _check_method(method, path)
            if path == LOGIN:
                return self._login(scope, headers)
            if path.startswith(OPEN):
                return None
            self._check_session(path, headers)
            if method not in READING:
                self._check_origin(headers)
        except PageError as exc:
            return error(exc) if path.startswith(API) else pages.refusal(exc, again=path != LOGIN)
        return None

    def _check_sender(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._door.knows_host(hosts[0]):
            raise PageError(
                421,
                "this server is not known by that name",
                hint=f"its address is {self._door.url}; `hush-otel ui --host NAME` gives it another",
            )

    def _check_session(self, path: str, headers: Headers) -> None:
        if not self._door.admits(headers):
            raise PageError(
                401, "this browser is not logged in", hint="open the URL that `hush-otel ui` has printed"
            )
        if path.startswith(API) and headers.get("sec-fetch-site", "none") not in OWN_PAGE:
            raise PageError(403, "another web page asks for this")

    def _check_origin(self, headers: Headers) -> None:
        if headers.get("origin") != f"http://{headers['host']}":
            raise PageError(403, "what changes something is asked by the page itself only")

    def _login(self, scope: Scope, headers: Headers) -> Response:
        query = parse_qs(scope["query_string"].decode("ascii", "replace"))
        if not _same(query.get("token", [""])[-1], self._door.token):
            raise PageError(
                401, "that token opens nothing", hint="take the URL that `hush-otel ui` printed last"
            )
        answer = _onwards(_own_path(query.get("next", ["/"])[-1]), headers)
        answer.set_cookie(self._door.cookie, self._door.session, httponly=True, samesite="strict", path="/")
        return answer


def _own_path(given: str) -> str:
    """A path on this server: no other host, whatever browsers take for one."""
    path = given.partition("?")[0]
    if not path.startswith("/") or "//" in path or "\\" in given or not given.isprintable():
        return "/"
    return quote(given, safe="/?&=%+:@!$'()*,;~-._")


def _onwards(path: str, headers: Headers) -> Response:
    """To the page. A browser that a link elsewhere has sent here keeps its new cookie back on a redirect."""
    if headers.get("sec-fetch-site", "none") in OWN_PAGE:
        return Response(status_code=303, headers={"Location": path})
    return HTMLResponse(pages.onwards(path))
