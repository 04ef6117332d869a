"""Clients that have not said yet who they are: a page cannot set a header on a WebSocket's handshake."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import orjson
from starlette.requests import Request

from sse_service.model.errors import InvalidToken, MissingToken, Overloaded
from sse_service.model.reasons import RefusalReason

if TYPE_CHECKING:
    from starlette.types import Scope

    from sse_service.protocols.websocket.connection import Connection

TOKEN_SECONDS = 10.0
"""How long a client may take to send its token."""

FORM = 'the first message must be {"token": "…"}, within 10 s, or the handshake must have a credential'

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1; it is put into a header, so it must not have a line end


class WaitingRoom:
    """Waits for first messages. When it is full, the client that has waited longest must go.

    A client needs one round trip to send its token. An attacker who only connects waits longer, and is the one to go.
    """

    def __init__(self, *, places: int) -> None:
        self._places = places
        # Oldest first.
        self._waiting: dict[Connection, None] = {}

    async def request_with_token(self, connection: Connection, scope: Scope) -> Request | None:
        """Wait for a token, and return the request as if it had come with it; None if the client leaves.

        Raises MissingToken if no token comes in time, InvalidToken if it cannot be one, and Overloaded if the client
        must make room.
        """
        if len(self._waiting) >= self._places:
            self._evict(next(iter(self._waiting)))
        self._waiting[connection] = None
        timer = asyncio.get_running_loop().call_later(TOKEN_SECONDS, connection.stop_waiting)
        try:
            text = await connection.first_text()
            if connection.over:
                return None
            if text is not None:
                return Request({**scope, "headers": _with_token(scope, _token_of(text))})
            if connection not in self._waiting:
                raise Overloaded(RefusalReason.LIMIT)
            raise MissingToken(FORM)
        finally:
            timer.cancel()
            self._waiting.pop(connection, None)

    def _evict(self, connection: Connection) -> None:
        del self._waiting[connection]
        connection.stop_waiting()


def _token_of(text: str) -> str:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise MissingToken(FORM) from None
    if not (isinstance(message, dict) and isinstance(token := message.get("token"), str)):
        raise MissingToken(FORM)
    if _TOKEN.fullmatch(token) is None:
        raise InvalidToken(internal_reason="the token is malformed")
    return token


def _with_token(scope: Scope, token: str) -> list[tuple[bytes, bytes]]:
    others = [header for header in scope["headers"] if header[0] not in (b"authorization", b"cookie")]
    return [*others, (b"authorization", b"Bearer " + token.encode())]
