"""``GET /client.js``: the browser's client."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CLIENT = Path(__file__).with_name("client.js")

# Gzip that is asked for, and not forbidden by a weight of 0 (RFC 9110 §12.5.3).
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE)


def client_route() -> Route:
    """Return the route of ``client.js``. Pages of every origin that CORS allows may import it."""
    plain = CLIENT.read_bytes()
    # Compressed once: a storm of pages costs the event loop nothing. Without a time, all tasks have the same bytes.
    compressed = gzip.compress(plain, 9, mtime=0)
    # Strong validators (RFC 9110 §8.8.1), one for each form: the same ETag on all tasks means the same bytes.
    plain_etag, compressed_etag = (f'"{hashlib.sha256(each).hexdigest()[:32]}"' for each in (plain, compressed))

    async def answer(request: Request) -> Response:
        takes_gzip = _GZIP.search(request.headers.get("accept-encoding", ""))
        headers = {
            "ETag": compressed_etag if takes_gzip else plain_etag,
            # Browsers ask whether it has changed, so that a deploy reaches pages at once.
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        # Weak comparison, as RFC 9110 §13.1.2 asks for: proxies that compress make an ETag weak.
        known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
        if known & {headers["ETag"], "*"}:
            return Response(status_code=304, headers=headers)
        if takes_gzip:
            headers["Content-Encoding"] = "gzip"
        return Response(compressed if takes_gzip else plain, headers=headers, media_type="text/javascript")

    return Route("/client.js", answer, methods=["GET"])
