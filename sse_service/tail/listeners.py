"""The ways to listen: an event stream, a WebSocket, or long polling."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp

from sse_service.model.values import value
from sse_service.tail.blocks import Block, Lost, Refused, StreamParser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

SILENCE_SECONDS = 75
"""A connection on which nothing has come for this long is dead. SSE_HEARTBEAT_SECONDS is at most 50."""

WAIT_SECONDS = 25
"""How long a poll waits for an event."""


@value
class Request:
    """Whose events, which of them, and from where."""

    url: str
    """The address of the service."""
    token: str
    query: Mapping[str, str]

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        return {"Authorization": f"Bearer {self.token}"}


async def stream(session: aiohttp.ClientSession, request: Request) -> AsyncIterator[Block]:
    """Yield what an event stream brings. Raises Lost and Refused."""
    headers = {**request.headers, "Accept": "text/event-stream"}
    options = _options(request, headers, sock_read=SILENCE_SECONDS)
    async with session.get(f"{request.url}/events", **options) as answer:
        await _check(answer)
        parser = StreamParser()
        async for data in answer.content.iter_any():
            for block in parser.feed(data):
                yield block


async def socket(session: aiohttp.ClientSession, request: Request) -> AsyncIterator[Block]:
    """Yield what a WebSocket brings. Raises Lost and Refused."""
    try:
        async with session.ws_connect(
            f"{request.url}/ws",
            params=request.query,
            headers=request.headers,
            protocols=["sse-service.v1"],
            timeout=aiohttp.ClientWSTimeout(ws_receive=SILENCE_SECONDS, ws_close=5),
            autoping=True,
            max_msg_size=0,
        ) as connection:
            async for message in connection:
                fields = json.loads(message.data)
                yield Block(fields.get("event", "message"), fields["data"], fields.get("id"), fields.get("retry"))
    except aiohttp.WSServerHandshakeError as error:
        # The answer's body is lost with this exception. A poll gets the same refusal, with its text.
        async with session.get(f"{request.url}/events/poll", **_options(request, request.headers, total=30)) as answer:
            await _check(answer)
        raise Lost(f"the handshake got status {error.status}") from None


async def polls(session: aiohttp.ClientSession, request: Request) -> AsyncIterator[Block]:
    """Yield what polls bring, as a stream would bring it. Raises Lost and Refused."""
    query = {**request.query, "wait": str(WAIT_SECONDS)}
    greeted = False
    while True:
        options = _options(request, request.headers, total=WAIT_SECONDS + 30)
        async with session.get(f"{request.url}/events/poll", **{**options, "params": query}) as answer:
            await _check(answer)
            page: dict[str, Any] = await answer.json()
        if not greeted:
            greeted = True
            yield Block("stream.ready", json.dumps({"resumed": page["resumed"], "user": page["user"]}))
        if page["gap"]:
            yield Block("stream.gap", json.dumps({"reason": page["gap"]}))
        for event in page["events"]:
            yield Block(event["type"] or "message", event["data"], event["id"])
        yield Block("stream.cursor", "{}", page["cursor"])
        query["lastEventId"] = page["cursor"]
        query.pop("since", None)


LISTENERS = {"sse": stream, "websocket": socket, "polling": polls}
"""The listeners by the name of their protocol."""


def _options(
    request: Request, headers: Mapping[str, str], *, total: float | None = None, sock_read: float | None = None
) -> dict[str, Any]:
    return {
        "params": request.query,
        "headers": headers,
        # A redirect would take the token to another address.
        "allow_redirects": False,
        "timeout": aiohttp.ClientTimeout(total=total, sock_connect=10, sock_read=sock_read),
    }


async def _check(answer: aiohttp.ClientResponse) -> None:
    """Raise Lost or Refused if the answer is not a success."""
    if answer.status == 200:
        return
    text = (await answer.content.read(4096)).decode(errors="replace")
    try:
        detail = str(json.loads(text)["detail"])
    except (ValueError, TypeError, KeyError):
        detail = "the answer does not come from sse-service"
    said = f"{answer.status}: {detail}"
    if answer.status < 500:
        raise Refused(said)
    after = answer.headers.get("Retry-After", "")
    raise Lost(said, retry_seconds=float(after) if after.isascii() and after.isdigit() else None)
