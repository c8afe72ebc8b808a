"""Every address of the server, and what answers there. API.md is the specification.

Paths are matched as they were sent, percent signs and all, and decoded piece by piece afterwards: an id may
hold a slash, and `%2e%2e` leads nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from hush_otel.config import Settings
from hush_otel.errors import PageError
from hush_otel.presentation.sharing import Form

from . import (
    api_compare,
    api_deliveries,
    api_requests,
    api_sessions,
    api_span,
    api_statistics,
    api_status,
    downloads,
    pages,
)
from .answers import Answer, Desk, Question, error
from .auth import API, Door, Gate
from .events import Events
from .headers import Headed
from .sharing import Sharing

READS: dict[str, Callable[[Question], Answer]] = {
    "/api/requests": api_requests.requests,
    "/api/requests/{id}": api_requests.request,
    "/api/requests/{id}/tree": api_requests.tree,
    "/api/requests/{id}/spans/{trace_id}/{span_id}": api_span.span,
    "/api/requests/{id}/spans/{trace_id}/{span_id}/payload": downloads.payload,
    "/api/requests/{id}/spans/{trace_id}/{span_id}/media/{sha256}": downloads.media,
    "/api/sessions": api_sessions.sessions,
    "/api/sessions/{id}": api_sessions.session,
    "/api/facets": api_sessions.facets,
    "/api/stats": api_statistics.stats,
    "/api/latency": api_statistics.latency,
    "/api/timeline": api_statistics.timeline,
    "/api/compare": api_compare.compare,
    "/api/compare/step": api_compare.step,
    "/api/deliveries": api_deliveries.deliveries,
    "/api/status": api_status.status,
}
CHANGES: dict[str, Callable[[Question], Answer]] = {"/api/deliveries/retry": api_deliveries.retry}
"""By POST."""


def application(settings: Settings, door: Door, events: Events, forms: Mapping[str, Form]) -> ASGIApp:
    """The server's application: headers around the gate around the routes."""
    desk, sharing = Desk(settings), Sharing(forms)
    routes: list[BaseRoute] = [Route(path, pages.index) for path in pages.PATHS]
    routes += [Route(path, desk.endpoint(answer)) for path, answer in READS.items()]
    routes += [
        Route(path, desk.endpoint(answer, slow=True), methods=["POST"]) for path, answer in CHANGES.items()
    ]
    routes.append(Route("/api/requests/{id}/share", desk.endpoint(sharing.look)))
    routes.append(Route("/api/requests/{id}/share/{form}", desk.endpoint(sharing.file, slow=True)))
    routes.append(Route("/api/events", events.endpoint))
    files = StaticFiles(directory=pages.STATIC)
    routes += [Mount(path, files) for path in (pages.kept_files(), pages.FILES)]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _failed})
    app.router.redirect_slashes = False
    return Headed(Gate(_AsSent(app), door), pages.kept_files())


async def _refused(request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    method = f"{request.method} is not spoken here"
    refusal = PageError(status, method if status == 405 else "there is nothing at this address")  # noqa: PLR2004
    return error(refusal) if request.url.path.startswith(API) else pages.refusal(refusal)


async def _failed(_request: Request, _exc: Exception) -> Response:
    """A mistake of ours. uvicorn logs it: what it says is for whoever has started the server."""
    hint = "the terminal in which `hush-otel ui` runs says what; please report it"
    return error(PageError(500, "hush-otel has made a mistake", hint=hint))


class _AsSent:
    """An ASGI application around another, which sees paths undecoded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = dict(scope, path=scope["raw_path"].decode("ascii", "replace"))
        await self._app(scope, receive, send)
