"""``POST /revoke`` on the admin port: signs a user out. For scripts, and for the application's back end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response
from starlette.routing import Route

from sse_service.auth.tokens.claims import user_id
from sse_service.http.problems import problem
from sse_service.model.errors import Unavailable
from sse_service.operator.request_checks import from_own_page_or_no_browser, read_body

if TYPE_CHECKING:
    from starlette.requests import Request

    from sse_service.streams.revoker import Revoker

MAX_BODY_BYTES = 4096

NOT_CONFIRMED = (
    "the user is signed out in this task, and the other tasks are told when the store is back: "
    "try again until the answer is 200"
)
"""What a client is told if the store is away. If this task ends before the store is back, nobody else learns of it."""


class RevokeEndpoint:
    """Takes ``{"user":"42"}``, and answers when every task is sure to refuse the user's present tokens."""

    def __init__(self, revoker: Revoker) -> None:
        self._revoker = revoker

    def route(self) -> Route:
        """Return the route."""
        return Route("/revoke", from_own_page_or_no_browser(self.revoke), methods=["POST"])

    async def revoke(self, request: Request) -> Response:
        """Sign a user out."""
        user = _user(await read_body(request, limit=MAX_BODY_BYTES))
        if user is None:
            return problem(400, 'the body must be JSON with a user id as in tokens, and nothing else: {"user":"42"}')
        try:
            ended = await self._revoker.revoke_user(user)
        except Unavailable:
            return problem(503, NOT_CONFIRMED)
        return Response(
            orjson.dumps({"user": user, "streams": ended}),
            headers={"Cache-Control": "no-store"},
            media_type="application/json",
        )


def _user(body: bytes) -> str | None:
    """Return the user; None if the body is not as it should be."""
    try:
        # Not orjson, which reads an integer beyond 64 bits as a float. A token's user is read without this loss.
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return user_id(fields["user"]) if isinstance(fields, dict) and fields.keys() == {"user"} else None
