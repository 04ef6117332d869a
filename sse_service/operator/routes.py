"""What the operator's page is served by."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from consumers.sqs.failures import AWS_ERRORS
from sse_service import aws
from sse_service.http.problems import problem
from sse_service.operator.form import read_form
from sse_service.operator.guard import from_this_page, guarded
from sse_service.operator.page import fragment, page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from sse_service.operator.overview import Observer

REFRESH_SECONDS = 2

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}


class OperatorPage:
    """``/`` on the admin port, ``/live`` behind it, and ``POST /test``."""

    def __init__(self, *, observer: Observer, topic_arn: str) -> None:
        self._observer = observer
        self._topic_arn = topic_arn
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Let what is live end, so that the port can close."""
        self._ended.set()

    def routes(self) -> list[Route]:
        """All that the page needs."""
        return [
            Route("/", guarded(self.show)),
            Route("/live", guarded(self.live)),
            Route("/test", guarded(self.send), methods=["POST"]),
            Route("/page.css", _file("page.css", "text/css")),
            Route("/page.js", _file("page.js", "text/javascript")),
        ]

    async def show(self, request: Request) -> Response:
        """Answer with the page."""
        notice = request.query_params.get("sent", "")
        text = page(self._observer.look(), topic=self._topic_arn, notice=f"Sent: event {notice}" if notice else "")
        return Response(text, headers=_HEADERS, media_type="text/html")

    async def live(self, _: Request) -> Response:
        """Send the page's changing part again and again."""
        return EventSourceResponse(self._overviews(), ping=0)

    async def send(self, request: Request) -> Response:
        """Publish a test event."""
        if not from_this_page(request):
            return problem(403, "a test event is sent from the operator's page alone")
        if not self._topic_arn:
            return problem(409, "SSE_TOPIC_ARN is not set: there is no topic to publish to")
        given = await read_form(request)
        attributes = {"user_id": given.user, **({"event_type": given.type} if given.type else {})}
        try:
            event = await aws.publish(self._topic_arn, given.data, attributes)
        except (*AWS_ERRORS, RuntimeError, ValueError) as error:
            return problem(502, f"not published: {error}")
        # So that loading the page anew sends nothing.
        return RedirectResponse(f"/?{urlencode({'sent': event})}", status_code=303)

    async def _overviews(self) -> AsyncIterator[ServerSentEvent]:
        before = self._observer.look()
        while not await self._ends_within(REFRESH_SECONDS):
            now = self._observer.look()
            yield ServerSentEvent(fragment(now, before), event="overview")
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
