"""HTTP POST to one endpoint: keep-alive, one deadline for the whole attempt, a bounded answer.

urllib3 bounds each read of a socket, not their sum: a server that sends one byte a second would hold
an attempt for hours. So the connections here take what is left until the deadline as the timeout of
every write and read. Two things stay outside: the system's name resolution, which takes no timeout, and
several addresses of one host, of which each may take `CONNECT_TIMEOUT_S`.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError, NameResolutionError

from hush_otel.destinations.otlp_answers import shown
from hush_otel.errors import DeliveryError, PausedError, PermanentError, RetryableError

CONNECT_TIMEOUT_S: Final = 5.0
"""A receiver that does not answer a SYN in this time is down; waiting longer delays other deliveries."""

MAX_ANSWER_BYTES: Final = 1024 * 1024
"""Of an answer's body, as sent and decompressed alike. OTLP answers have a few hundred bytes."""

_INTERIM: Final = frozenset(range(102, 200))
"""100 is passed over by http.client, 101 is final: the server speaks another protocol from there on."""
_READ_BYTES: Final = 64 * 1024
_TLS_WRITE_BYTES: Final = 16 * 1024
"""One TLS record: the timeout of a TLS socket holds for each record, not for the whole of sendall."""


_E = TypeVar("_E", bound=BaseException)


class Answer(NamedTuple):
    """What the server said.

    Attributes:
        status: The HTTP status.
        headers: Case-insensitive.
        body: Decompressed; cut at `MAX_ANSWER_BYTES`.
        broken: Why the body did not arrive in full; empty when it did.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    broken: str = ""


class HttpClient:
    """Posts to one URL. Used by one thread at a time; opens its connection with the first post.

    Args:
        url: Without a user part.
        label: The endpoint as error messages may show it.
        timeout_s: Bound of one attempt.
        tls: For https; None otherwise.
    """

    def __init__(self, url: str, *, label: str, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        self._url = url
        self._label = label
        self._deadline = _Deadline(timeout_s)
        self._timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=timeout_s)
        self._pools = urllib3.PoolManager(num_pools=1, maxsize=1, ssl_context=tls)
        # PoolManager calls the entry of a scheme to make a pool: the documented place for one's own.
        self._pools.pool_classes_by_scheme = cast(
            "Any",
            {
                "http": functools.partial(_HttpPool, deadline=self._deadline),
                "https": functools.partial(_HttpsPool, deadline=self._deadline),
            },
        )

    def post(self, body: bytes, headers: Mapping[str, str], secret_values: Sequence[str] = ()) -> Answer:
        """Post once. A redirect is an answer like any other: credentials go to this URL only.

        Args:
            body: What to post.
            headers: Of the request.
            secret_values: Taken out of errors: a server may repeat them where HTTP has a number or a version.

        Raises:
            RetryableError: No connection, or it was lost, or the deadline passed.
            PausedError: The name does not resolve, or TLS is refused by either side.
            PermanentError: The URL cannot work.
        """
        self._deadline.start()
        try:
            response = self._pools.urlopen(
                "POST",
                self._url,
                body=body,
                headers={**headers, "Accept-Encoding": "identity"},
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=self._timeout,
            )
        except HTTPError as exc:
            # Not from `exc`, which a log would show as it is.
            raise _failure(self._label, exc, secret_values) from None
        return _read_answer(response, secret_values)

    def close(self) -> None:
        """Close the kept connection. Idempotent."""
        self._pools.clear()


def _read_answer(response: urllib3.BaseHTTPResponse, secret_values: Sequence[str]) -> Answer:
    body, broken = bytearray(), ""
    try:
        while len(body) < MAX_ANSWER_BYTES:
            piece = response.read(min(_READ_BYTES, MAX_ANSWER_BYTES - len(body)), decode_content=False)
            if not piece:
                break
            body += piece
        else:
            response.close()  # what is left unread would be taken for the next answer
    except HTTPError as exc:
        broken = _reason(exc, secret_values)
        response.close()
    content = _decompressed(bytes(body), response.headers.get("Content-Encoding", ""))
    return Answer(response.status, response.headers, content, broken)


def _decompressed(body: bytes, encoding: str) -> bytes:
    if encoding.strip().lower() not in {"gzip", "x-gzip", "deflate"}:
        return body
    try:
        return zlib.decompressobj(wbits=47).decompress(
            body, MAX_ANSWER_BYTES
        )  # 47: zlib or gzip, by its header
    except zlib.error:
        return b""


_TLS_NEEDS_A_PERSON: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNSUPPORTED_PROTOCOL", "ALERT")
"""OpenSSL reasons that no retry changes: no TLS on that port, or the peer refuses version or certificate."""


def _failure(label: str, error: HTTPError, secret_values: Sequence[str]) -> DeliveryError:
    """Which of our errors a failed attempt is."""
    reason = f"{label}: {_reason(error, secret_values)}"
    tls = _cause(error, ssl.SSLError)
    if tls is not None and _needs_a_person(tls):
        return PausedError(
            f"{reason} (TLS)", hint="check endpoint, certificate, client_certificate and verify"
        )
    if isinstance(error, NameResolutionError):
        lookup = _cause(error, socket.gaierror)
        if lookup is None or lookup.errno != socket.EAI_AGAIN:  # "try again" is the resolver's own word
            return PausedError(reason, hint="check the host name in endpoint")
    if isinstance(error, LocationParseError):
        return PermanentError(reason, hint="check endpoint")
    return RetryableError(reason)


def _needs_a_person(error: ssl.SSLError) -> bool:
    reason = error.reason or ""
    return isinstance(error, ssl.SSLCertVerificationError) or any(
        word in reason for word in _TLS_NEEDS_A_PERSON
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error`, what caused it, and so on. urllib3 wraps the system's errors once or twice."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _cause(error: BaseException, kind: type[_E]) -> _E | None:
    return next((found for found in _chain(error) if isinstance(found, kind)), None)


def _reason(error: BaseException, secret_values: Sequence[str]) -> str:
    """The innermost cause in words: a system's message, or http.client's with what the server said."""
    *_, innermost = _chain(error)
    return shown(str(innermost), secret_values) or type(innermost).__name__


# The connections.


class _Deadline:
    """When the attempt under way has to be over. One object for a client and its connections."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._end_s = 0.0

    def start(self) -> None:
        self._end_s = time.monotonic() + self._timeout_s

    def remaining_s(self) -> float:
        """What a socket may still take.

        Raises:
            TimeoutError: Nothing is left.
        """
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"no complete answer within {self._timeout_s:g} s")
        return left_s


class _BoundedReader(io.RawIOBase):
    """The reading side of a socket; each read may take what is left until the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: _Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.remaining_s())
        return cast("Any", self._raw).readinto(buffer)  # type: ignore[no-any-return]  # RawIOBase stubs lack it

    def close(self) -> None:
        # The raw file holds the socket open after http.client has closed it: close it, or it leaks.
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """Reads status line, headers and body through a `_BoundedReader`."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: _Deadline, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_BoundedReader(cast("Any", self.fp).detach(), sock, deadline))

    def _read_status(self) -> tuple[str, int, str]:
        """Of the final answer: interim ones may come before it, any number (RFC 9110, section 15.2).

        http.client itself passes over 100 only. Another one taken for the answer would leave the real one to
        be read as that of the next request.
        """
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status not in _INTERIM:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _BoundedHttp(HTTPConnection):
    """Writes and reads within the deadline."""

    def __init__(self, *args: Any, deadline: _Deadline, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline = deadline
        # http.client calls it to read an answer; a partial serves like the class.
        self.response_class = cast("Any", functools.partial(_BoundedResponse, deadline=deadline))

    def send(self, data: Any) -> None:
        """Send `data`, a bytes object, in pieces that each keep the deadline."""
        if self.sock is None:
            self.connect()
        view = memoryview(data)
        step = _TLS_WRITE_BYTES if isinstance(self.sock, ssl.SSLSocket) else max(len(view), 1)
        for start in range(0, len(view), step):
            self.sock.settimeout(self._deadline.remaining_s())
            self.sock.sendall(view[start : start + step])


class _BoundedHttps(_BoundedHttp, HTTPSConnection):
    """The same over TLS."""


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _BoundedHttp


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _BoundedHttps
