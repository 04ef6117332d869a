"""The answers of every protocol to a request that gets no stream."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sse_service.http.problems import problem, unauthorized
from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.model.reasons import CloseReason, RefusalReason
from sse_service.streams import service_events
from sse_service.streams.registry import EVICTED_RETRY_MS

if TYPE_CHECKING:
    from starlette.responses import Response

    from sse_service.streams.service_events import ServiceEvent

RETRY_MS = (1000, 10_000)
"""When a client that an overloaded task has refused should try again."""

_ADVICE = {
    RefusalReason.LIMIT: "this task holds as many streams as it may: try again",
    RefusalReason.USER: "this user holds as many streams as one user may: close a page",
    RefusalReason.ADDRESS: "this address holds as many streams as one address may: close a page",
    RefusalReason.RATE: "too many streams are being opened at once: try again",
    RefusalReason.DRAIN: "this task is ending: try again",
    RefusalReason.IDENTITY: "the credential cannot be checked now: try again",
}


def refusal(error: InvalidToken | Forbidden | ValueError | Overloaded) -> Response:
    """Make the answer to an error of ``Admission.admit``: 401, 403, 400, or 503 with ``Retry-After``."""
    match error:
        case InvalidToken():
            return unauthorized(error)
        case Forbidden():
            return problem(403, str(error))
        case Overloaded(reason=reason):
            seconds = -(-_retry_ms(reason) // 1000)
            return problem(503, _ADVICE[reason], headers={"Retry-After": str(seconds), "Connection": "close"})
        case _:
            return problem(400, str(error))


def refusal_event(reason: RefusalReason) -> tuple[ServiceEvent, CloseReason]:
    """Make the ``stream.close`` that refuses a client which cannot see a status. Returns its reason too."""
    why = CloseReason.DRAIN if reason is RefusalReason.DRAIN else CloseReason.LIMIT
    return service_events.close(why, reconnect=True, retry_ms=_retry_ms(reason)), why


def _retry_ms(reason: RefusalReason) -> int:
    """Choose when the client should try again, in milliseconds."""
    # A user at the limit must close another page first, which takes longer than a few seconds.
    return random.randint(*(EVICTED_RETRY_MS if reason is RefusalReason.USER else RETRY_MS))  # noqa: S311  spreads load
