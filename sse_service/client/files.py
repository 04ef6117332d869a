"""``GET /client.js``: the browser's client."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CLIENT = Path(__file__).with_name("client.js")


def client_route() -> Route:
    """Return the route of ``client.js``. Pages of every origin that CORS allows may import it."""
    content = CLIENT.read_bytes()
    headers = {
        # A strong validator (RFC 9110 §8.8.1): the same ETag on all tasks means the same bytes.
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        # Browsers ask whether it has changed, so that a deploy reaches pages at once.
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
    }

    async def answer(request: Request) -> Response:
        # Weak comparison, as RFC 9110 §13.1.2 asks for: proxies that compress make an ETag weak.
        known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
        if known & {headers["ETag"], "*"}:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type="text/javascript")

    return Route("/client.js", answer, methods=["GET"])
