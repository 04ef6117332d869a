"""The HTTP routes of the operator's page."""

from __future__ import annotations

import asyncio
import secrets
from importlib.resources import files
from typing import TYPE_CHECKING

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from consumers.sqs.failures import AWS_ERRORS
from sse_service import aws
from sse_service.http.problems import problem
from sse_service.model.errors import Unavailable
from sse_service.operator.forms import read_event, read_user
from sse_service.operator.page import render_overview, render_page
from sse_service.operator.request_checks import by_address_only, is_same_origin
from sse_service.operator.revoke import NOT_CONFIRMED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from sse_service.operator.overview import Inspector
    from sse_service.streams.revoker import Revoker

REFRESH_SECONDS = 2

MAX_NOTICES = 20
"""How many notices are kept. A browser fetches its notice at once, unless it leaves."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}


class OperatorPage:
    """``GET /`` on the admin port, its live updates, and its forms to send a test event and to sign a user out."""

    def __init__(self, *, inspector: Inspector, topic_arn: str, revoker: Revoker) -> None:
        self._inspector = inspector
        self._topic_arn = topic_arn
        self._revoker = revoker
        self._notices: dict[str, str] = {}
        self._ended = asyncio.Event()

    def end(self) -> None:
        """End the live updates, so that the port can close."""
        self._ended.set()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/", by_address_only(self.show)),
            Route("/live", by_address_only(self.live)),
            Route("/test", by_address_only(self.send), methods=["POST"]),
            Route("/sign-out", by_address_only(self.sign_out), methods=["POST"]),
            Route("/page.css", _file("page.css", "text/css")),
            Route("/plots.css", _file("plots.css", "text/css")),
            Route("/page.js", _file("page.js", "text/javascript")),
        ]

    async def show(self, request: Request) -> Response:
        """Return the page."""
        notice = self._notices.pop(request.query_params.get("notice", ""), "")
        text = render_page(self._inspector.inspect(), topic=self._topic_arn, notice=notice)
        return Response(text, headers=_HEADERS, media_type="text/html")

    async def live(self, _: Request) -> Response:
        """Send the changing part of the page every two seconds."""
        return EventSourceResponse(self._overviews(), ping=0)

    async def send(self, request: Request) -> Response:
        """Publish a test event."""
        if not is_same_origin(request):
            return problem(403, "only the operator's page can send a test event")
        if not self._topic_arn:
            return problem(409, "SSE_TOPIC_ARN is not set: there is no topic to publish to")
        form = await read_event(request)
        attributes = {"user_id": form.user, **({"event_type": form.type} if form.type else {})}
        try:
            message_id = await aws.publish(self._topic_arn, form.data, attributes)
        except (*AWS_ERRORS, RuntimeError, ValueError) as error:
            return problem(502, f"the test event was not published: {error}")
        return self._done(f"Test event published: {message_id}")

    async def sign_out(self, request: Request) -> Response:
        """Sign a user out."""
        if not is_same_origin(request):
            return problem(403, "only the operator's page can send this form")
        user = await read_user(request)
        try:
            ended = await self._revoker.revoke_user(user)
        except Unavailable:
            return problem(503, NOT_CONFIRMED)
        return self._done(f"Tokens of {user} issued up to now are refused. Streams ended in this task: {ended}.")

    def _done(self, notice: str) -> Response:
        """Redirect to the page, which shows the notice once. So a reload does not send the form again.

        The text is not in the URL: with a link, anybody could show a notice of what never happened.
        """
        while len(self._notices) >= MAX_NOTICES:
            del self._notices[next(iter(self._notices))]
        key = secrets.token_urlsafe(16)
        self._notices[key] = notice
        return RedirectResponse(f"/?notice={key}", status_code=303)

    async def _overviews(self) -> AsyncIterator[ServerSentEvent]:
        before = self._inspector.inspect()
        while not await self._ends_within(REFRESH_SECONDS):
            now = self._inspector.inspect()
            yield ServerSentEvent(render_overview(now, before), event="overview")
            before = now

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._ended.wait()
        except TimeoutError:
            return False


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = (files(__package__) / name).read_bytes()

    async def serve(_: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=media_type)

    return serve
