"""Calls to an authorizer: how many and how long, and what happens if one fails."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from sse_service.auth.authorizer.answer import AuthorizerFailure
from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.model.reasons import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sse_service.model.principal import Principal
    from sse_service.telemetry.metrics import Metrics

PLACES = 64
"""Calls at the same time. A back end that answers in 50 ms is asked 1,280 times a second, and one with a few dozen
workers is not flooded when a task's clients come back at once."""

MAX_WAITING = 1000
"""Calls that may wait for a place. If answers take 128 ms, that many get one in time."""

SECONDS = 2.0
"""Limit for a call, with the wait for a place. A client that waits longer has usually given up."""

TROUBLE_SECONDS = 30.0
"""How long a failure is reported as trouble if nobody asks again. A line is not logged twice within this time."""

_AGAIN = "answers again"

_log = logging.getLogger(__name__)


class AuthorizerCalls:
    """Limits the calls to one authorizer, and knows why it does not answer, if so."""

    def __init__(self, *, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._places = asyncio.Semaphore(PLACES)
        self._calls = 0
        # Why the last call failed, and when; None if it did not fail.
        self._failure: tuple[str, float] | None = None
        self._failing_since = 0.0
        # Line -> when it was logged.
        self._logged: dict[str, float] = {}

    @property
    def trouble(self) -> str | None:
        """Why the authorizer does not answer now; None if it does."""
        if self._failure is None or self._failure[1] + TROUBLE_SECONDS < self._clock():
            return None
        return f"it {self._failure[0]}"

    async def run(self, ask: Callable[[], Awaitable[Principal]]) -> Principal:
        """Make one call.

        ``ask`` raises InvalidToken and Forbidden, which pass through. Everything else that it raises is logged, and
        becomes Overloaded.
        """
        if self._calls >= PLACES + MAX_WAITING:
            raise self._failed(
                AuthorizerFailure("is too slow for so many requests", f"{MAX_WAITING} wait for an answer already")
            )
        self._calls += 1
        try:
            principal = await self._bounded(ask)
        except InvalidToken:
            self._answered("unauthorized")
            raise
        except Forbidden:
            self._answered("forbidden")
            raise
        except AuthorizerFailure as failure:
            raise self._failed(failure) from None
        # Catch everything: whoever asks must get an answer. The text is not logged, because it may repeat the request.
        except Exception as error:
            raise self._failed(AuthorizerFailure(f"failed with {type(error).__name__}")) from None
        finally:
            self._calls -= 1
        self._answered("user")
        return principal

    async def _bounded(self, ask: Callable[[], Awaitable[Principal]]) -> Principal:
        try:
            async with asyncio.timeout(SECONDS) as limit, self._places:
                began = self._clock()
                try:
                    return await ask()
                finally:
                    self._metrics.authorizer_seconds.observe(self._clock() - began)
        except TimeoutError:
            if not limit.expired():
                raise
            raise AuthorizerFailure(f"did not answer within {SECONDS:.0f} s") from None

    def _answered(self, answer: str) -> None:
        self._metrics.authorizer_answers.labels(answer).inc()
        if self._failure is None:
            return
        self._failure = None
        self._forget_old_lines()
        if self._is_new(_AGAIN):
            _log.info("the authorizer answers again, after %.1f s", self._clock() - self._failing_since)

    def _failed(self, failure: AuthorizerFailure) -> Overloaded:
        """Note a failure, and return what the client gets."""
        self._metrics.authorizer_answers.labels("failed").inc()
        # A request's own fault begins no outage. Otherwise any client could make /readyz report one.
        if not failure.of_request:
            if self._failure is None:
                self._failing_since = self._clock()
                self._forget_old_lines()
            self._failure = failure.reason, self._clock()
        text = f"{failure.reason}: {failure.advice}" if failure.advice else failure.reason
        level = logging.WARNING if self._is_new(failure.reason) else logging.DEBUG
        _log.log(level, "the authorizer %s", text, exc_info=failure.error)
        return Overloaded(RefusalReason.IDENTITY)

    def _is_new(self, line: str) -> bool:
        """Whether to log a line: only once during an outage, and never again at once.

        One client whose requests always fail, beside others whose requests do not, must not fill the log.
        """
        if line in self._logged:
            return False
        self._logged[line] = self._clock()
        return True

    def _forget_old_lines(self) -> None:
        """Let lines be logged again. Called when an outage begins or ends."""
        recently = self._clock() - TROUBLE_SECONDS
        self._logged = {line: at for line, at in self._logged.items() if at > recently}
