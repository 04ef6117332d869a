"""The form by which a test event is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from consumers.errors import NotUnderstood
from sse_service.model.reasons import RejectionReason
from sse_service.routing.fields import data_text, one_line

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_FORM_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Form:
    """A test event that can be shown."""

    user: str
    type: str | None
    data: str


async def read_form(request: Request) -> Form:
    """Read it; raises HTTPException for what could only become a dead letter."""
    given = parse_qs((await _body(request)).decode("utf-8", "replace"))
    try:
        user = one_line(given.get("user", [""])[0], RejectionReason.NAMES)
        kind = one_line(given.get("type", [""])[0], RejectionReason.TYPE)
        text = data_text(given.get("data", [""])[0])
    except NotUnderstood:
        raise HTTPException(400, "user and type must hold no control characters, and data no NUL") from None
    if not user or not text:
        raise HTTPException(400, "a test event needs a user and data")
    return Form(user, kind, text)


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_FORM_BYTES:
                raise HTTPException(413, f"a form has at most {MAX_FORM_BYTES} bytes")
    except ClientDisconnect:
        # Nobody hears it.
        raise HTTPException(400, "the form did not come to its end") from None
    return body
