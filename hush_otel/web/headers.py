"""What every answer tells the browser, whoever gives it: pages, files, errors."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere: a script in a span stays text even where the page has a mistake."""

ALWAYS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
FILES: Final = "/static/"

FOR_GOOD: Final = "max-age=31536000, immutable"
"""RFC 8246. What has another content has another address."""
FOUND: Final = 200


class Headed:
    """An ASGI application around another, which adds the headers.

    Args:
        app: What stands behind it.
        for_good: The path below which an address stands for its content.
    """

    def __init__(self, app: ASGIApp, for_good: str) -> None:
        self._app = app
        self._for_good = for_good + "/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ALWAYS)
                headers["Cache-Control"] = self._kept(scope["path"], message["status"])
            await send(message)

        await self._app(scope, receive, with_headers)

    def _kept(self, path: str, status: int) -> str:
        """Other files are asked for again by their ETag; what stands in the database is kept nowhere."""
        if path.startswith(self._for_good) and status == FOUND:
            return FOR_GOOD
        return "no-cache" if path.startswith(FILES) else "no-store"
