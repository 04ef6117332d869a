"""Reads the forms of the operator's page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException

from consumers.errors import NotUnderstood
from sse_service.auth.tokens.claims import user_id
from sse_service.model.reasons import RejectionReason
from sse_service.operator.request_checks import read_body
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


async def read_event(request: Request) -> EventForm:
    """Read the form for a test event. Raises HTTPException for an event that routing would not understand."""
    fields = await _fields(request)
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


async def read_user(request: Request) -> str:
    """Read the form that signs a user out. Raises HTTPException if it names no user."""
    user = user_id((await _fields(request)).get("user", [""])[0].strip())
    if user is None:
        raise HTTPException(400, "the form needs a user")
    return user


async def _fields(request: Request) -> dict[str, list[str]]:
    return parse_qs((await read_body(request, limit=MAX_FORM_BYTES)).decode("utf-8", "replace"))
