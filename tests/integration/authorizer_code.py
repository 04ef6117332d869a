"""Code of an operator's own, for tests of ``SSE_AUTHORIZER``. The header ``X-Key`` decides what it does."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from starlette.requests import HTTPConnection

from sse_service.model.errors import Forbidden, InvalidToken


async def authorize(connection: HTTPConnection) -> dict[str, Any] | None:
    """Say who sent a request."""
    match connection.headers.get("x-key"):
        case None:
            return None
        case "forbidden":
            raise Forbidden("this key is for reading only")
        case "invalid":
            raise InvalidToken("this key was withdrawn")
        case "bare":
            raise Forbidden
        case "broken":
            raise KeyError("a row of the table of keys")
        case "exit":
            sys.exit(3)
        case "brief":
            return {"user": "42", "expires_in": 1.5}
        case "hang":
            await asyncio.sleep(30)
            return None
        case "text":
            return "42"  # type: ignore[return-value]  # what code without types may do
        case key:
            return {"user": key, "groups": ("ops",), "expires_in": 900}
