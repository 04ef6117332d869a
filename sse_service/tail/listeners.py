"""The ways to listen: an event stream, a WebSocket, or long polling."""

from __future__ import annotations

import base64
import json
import secrets
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from sse_service.auth.outbound.addresses import is_loopback
from sse_service.auth.outbound.proxies import proxy_for
from sse_service.model.values import value
from sse_service.tail.blocks import Block, Lost, Refused, StreamParser

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

WAIT_SECONDS = 25
"""How long a poll waits for an event."""

_NOT_OURS = "the answer does not come from sse-service"
_TEMPORARY = frozenset({408, 425, 429})
"""Statuses below 500 after which a client should try again (RFC 9110, RFC 8470, RFC 6585)."""


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


def open_session(url: str) -> aiohttp.ClientSession:
    """Return a session for requests to this address, which uses the environment's proxy, but no other file."""
    redirects = aiohttp.TraceConfig()
    redirects.on_request_redirect.append(_refuse_redirect)
    # A token for this machine must not leave it.
    proxy = None if is_loopback(urlsplit(url).hostname or "") else proxy_for(url)
    return aiohttp.ClientSession(proxy=proxy, trace_configs=[redirects])


async def stream(session: aiohttp.ClientSession, request: Request) -> AsyncGenerator[Block, None]:
    """Yield what an event stream brings. Raises Lost, Refused and aiohttp's errors."""
    headers = {**request.headers, "Accept": "text/event-stream"}
    async with session.get(f"{request.url}/events", **_options(request, headers)) as answer:
        await check(answer, "text/event-stream")
        parser = StreamParser()
        async for data in answer.content.iter_any():
            for block in parser.feed(data):
                yield block


async def socket(session: aiohttp.ClientSession, request: Request) -> AsyncGenerator[Block, None]:
    """Yield what a WebSocket brings. Raises Lost, Refused and aiohttp's errors."""
    try:
        async with session.ws_connect(
            f"{request.url}/ws",
            params=request.query,
            headers=request.headers,
            protocols=["sse-service.v1"],
            # Ctrl-C must not wait long for a service that hangs.
            timeout=aiohttp.ClientWSTimeout(ws_close=1),
            max_msg_size=0,
        ) as connection:
            async for message in connection:
                yield _block_of(message)
    except aiohttp.WSServerHandshakeError as error:
        # The exception does not have the answer's text.
        await _ask_why(session, request)
        raise Lost(f"the handshake got status {error.status}") from None


async def polls(session: aiohttp.ClientSession, request: Request) -> AsyncGenerator[Block, None]:
    """Yield what polls bring, as a stream would bring it. Raises Lost, Refused and aiohttp's errors."""
    # The first poll does not wait, so that a client that comes back is told at once how it goes on.
    query = {**request.query, "wait": "0"}
    greeted = False
    while True:
        options = {**_options(request, request.headers), "params": query}
        async with session.get(f"{request.url}/events/poll", **options) as answer:
            await check(answer, "application/json")
            ready, *rest = blocks_of(await answer.read())
        for block in rest if greeted else [ready, *rest]:
            yield block
        greeted = True
        query["lastEventId"], query["wait"] = rest[-1].id or "", str(WAIT_SECONDS)
        query.pop("since", None)


LISTENERS: Mapping[str, Callable[[aiohttp.ClientSession, Request], AsyncGenerator[Block, None]]] = {
    "sse": stream,
    "websocket": socket,
    "polling": polls,
}
"""The listeners by the name of their protocol. None of them limits how long it waits: the caller does."""


def _options(request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "params": request.query,
        "headers": headers,
        # A redirect would take the token to another address.
        "allow_redirects": False,
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=10),
    }


def blocks_of(page: bytes) -> list[Block]:
    """Return what a stream would bring in place of a poll's answer: first ``stream.ready``, last ``stream.cursor``."""
    try:
        found = json.loads(page)
        blocks = [Block("stream.ready", _data(resumed=found["resumed"], user=found["user"]))]
        if found["gap"]:
            blocks.append(Block("stream.gap", _data(reason=found["gap"])))
        blocks += [Block(event["type"] or "message", event["data"], event["id"]) for event in found["events"]]
        return [*blocks, Block("stream.cursor", "{}", found["cursor"])]
    except (TypeError, ValueError, KeyError):
        raise Refused(_NOT_OURS) from None


def _data(**fields: Any) -> str:
    """Return the data of a service event as a stream has it."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def _block_of(message: aiohttp.WSMessage) -> Block:
    try:
        fields = json.loads(message.data)
        return Block(fields.get("event", "message"), fields["data"], fields.get("id"), fields.get("retry"))
    except (TypeError, ValueError, KeyError, AttributeError):
        # Also for a message of type ERROR, by which aiohttp tells that it could not read on.
        raise Lost("the connection brought what is no message of sse-service") from None


async def _ask_why(session: aiohttp.ClientSession, request: Request) -> None:
    """Ask for the handshake again, to read the text of the answer."""
    handshake = {
        **request.headers,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
    }
    async with session.get(f"{request.url}/ws", **_options(request, handshake)) as answer:
        if answer.status != 101:
            await check(answer)


async def check(answer: aiohttp.ClientResponse, content_type: str = "") -> None:
    """Raise Lost or Refused if the answer is not a success of this type."""
    if answer.status == 200:
        if answer.content_type != content_type:
            raise Refused(f"{_NOT_OURS}: it is {answer.content_type}")
        return
    text = (await answer.content.read(4096)).decode(errors="replace")
    try:
        detail = str(json.loads(text)["detail"])
    except (ValueError, TypeError, KeyError):
        detail = _NOT_OURS
    if answer.status == 404:
        detail += ". --url is the address of the service, without a path such as /events"
    said = f"{answer.status}: {detail}"
    # 501: the service is installed without this protocol.
    if (answer.status < 500 and answer.status not in _TEMPORARY) or answer.status == 501:
        raise Refused(said)
    after = answer.headers.get("Retry-After", "")
    valid = after.isascii() and after.isdigit() and len(after) < 5
    raise Lost(said, retry_seconds=float(after) if valid else None)


async def _refuse_redirect(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    # aiohttp has no other way to keep a WebSocket's handshake from following one.
    raise Refused(f"{redirect.response.status}: {_NOT_OURS}")
