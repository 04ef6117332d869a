"""Reads the form that sends a test event."""

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
class EventForm:
    """The fields of a test event."""

    user: str
    type: str | None
    data: str


async def read_form(request: Request) -> EventForm:
    """Read the form. Raises HTTPException for an event that routing would not understand."""
    fields = parse_qs((await _body(request)).decode("utf-8", "replace"))
    try:
        user = one_line(fields.get("user", [""])[0], RejectionReason.NAMES)
        kind = one_line(fields.get("type", [""])[0], RejectionReason.TYPE)
        text = data_text(fields.get("data", [""])[0])
    except NotUnderstood:
        raise HTTPException(
            400, "user and type must not contain control characters, and data must not contain U+0000"
        ) from None
    if not user or not text:
        raise HTTPException(400, "a test event needs a user and data")
    return EventForm(user, kind, text)


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_FORM_BYTES:
                raise HTTPException(413, f"the form has more than {MAX_FORM_BYTES} bytes")
    except ClientDisconnect:
        # No client reads this response. It prevents that the disconnect is logged as an error.
        raise HTTPException(400, "the client left before the end of the form") from None
    return body
