"""The keys of one identity provider: fetched in the background, and at once when a token names an unknown key."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.auth.outbound.fetch import FetchError
from sse_service.model.errors import InvalidToken, Overloaded
from sse_service.model.reasons import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import jwt

    from sse_service.auth.providers.discovery import FetchedKeys
    from sse_service.auth.providers.key_set import KeySet

_log = logging.getLogger(__name__)

MAX_WAITING = 10_000
"""Limit of requests that wait for the same fetch. As many streams are open by default, and all may come back at once.
"""

_UNEXPECTED = "unexpected error: see the log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When keys are fetched. All values are seconds."""

    default: float = 3600
    """How long keys are kept if the provider does not say."""
    shortest: float = 300
    longest: float = 86_400
    """Limits of what the provider may say."""
    pause_without_keys: float = 5
    """Shortest pause after a failed fetch while there are no keys."""
    pause_with_keys: float = 30
    """Shortest pause while there are keys: after a failed fetch, and before a fetch for a token that names an unknown
    key. Anyone can send such tokens."""
    keep: float = 86_400
    """How long keys serve after the last successful fetch, or longer if the next one is due only then."""

    def refresh(self, max_age: int | None) -> float:
        """Return when to fetch again after a successful fetch."""
        return self.default if max_age is None else min(max(max_age, self.shortest), self.longest)

    def expiry(self, max_age: int | None) -> float:
        """Return when keys expire. After the refresh is due, there is an hour for it, or a day's keys would be gone."""
        return max(self.keep, self.refresh(max_age) + self.default)


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request that waits for a fetch."""

    before_fetch: bool
    """Whether it asked before the fetch began. If not, its token's key may be newer than the answer."""
    decided: asyncio.Future[bool]
    """Whether the answer decides about its token: the fetch succeeded, and began after the request."""


class Provider:
    """Knows an issuer's keys.

    ``run`` fetches. Requests only wait for it, so a client that leaves cancels no fetch.
    """

    def __init__(
        self,
        *,
        issuer: str,
        issuer_setting: str,
        fetch: Callable[[], Awaitable[FetchedKeys]],
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fetch`` raises FetchError. ``issuer_setting`` is the setting that names the issuer."""
        self.issuer = issuer
        self.issuer_setting = issuer_setting
        self._fetch = fetch
        self._timing = timing or Timing()
        self._clock = clock
        self._keys: KeySet | None = None
        self._good_at = 0.0
        """When the last successful fetch ended."""
        self._expiry = 0.0
        """How long its keys serve."""
        self._ended_at = 0.0
        """When the last fetch ended."""
        self._pause = 0.0
        self._failure: str | None = "its keys have not been fetched yet"
        self._logged: object = None
        self._running = self._fetching = False
        self._wanted = asyncio.Event()
        self._waiting: deque[_Waiter] = deque()

    @property
    def keys(self) -> KeySet | None:
        """The keys that may be used now; None if there are none."""
        if self._keys is not None and self._clock() - self._good_at >= self._expiry:
            self._keys = None
        return self._keys

    @property
    def trouble(self) -> str | None:
        """Why there are no keys; None if there are some. It contains no addresses."""
        return self._failure if self.keys is None else None

    @property
    def note(self) -> str | None:
        """Why the last fetch failed although there are keys to go on with; None if it succeeded or there are none."""
        if self._failure is None or self.keys is None:
            return None
        return f"{self._failure}; keys fetched {self._clock() - self._good_at:.0f} s ago are in use"

    async def find(self, kid: str | None, algorithm: str) -> tuple[jwt.PyJWK, ...]:
        """Return the keys that a token with this header may have been signed with.

        Without a kid it is the issuer's only key for the algorithm.

        An unknown kid is asked for: the provider may have new keys. All requests wait for the same fetch. After it,
        they go on one in each turn of the event loop, because each may open a stream.

        Raises InvalidToken if there is no such key, and Overloaded if that cannot be told now.
        """
        if (found := self._known(kid, algorithm)) is not None:
            return found
        decided = await self._next_fetch()
        if (found := self._known(kid, algorithm)) is not None:
            return found
        if not decided:
            raise Overloaded(RefusalReason.IDENTITY)
        raise InvalidToken(internal_reason=f"the issuer {self.issuer} has no key with the token's kid and alg")

    async def run(self) -> None:
        """Fetch the keys again and again, until cancelled."""
        self._running = True
        try:
            while True:
                self._wanted.clear()
                await self.refresh()
                try:
                    async with asyncio.timeout(self._pause):
                        await self._wanted.wait()
                except TimeoutError:
                    pass
        finally:
            self._running = False
            for waiter in self._waiting:
                if not waiter.decided.done():
                    waiter.decided.set_result(False)

    async def refresh(self) -> None:
        """Fetch the keys once, and note the outcome. ``trouble`` and ``note`` tell it."""
        self._fetching = True
        try:
            fetched = await self._fetch()
        except FetchError as error:
            self._failed(error.cause, str(error))
        # Catch everything: if the loop of run ended, the task would serve with old keys until they expire.
        except Exception as error:
            self._failed(_UNEXPECTED, type(error).__name__, error)
        else:
            self._succeeded(fetched)
        finally:
            self._fetching = False
            self._ended_at = self._clock()
        # Only those who wait now: if more came in each turn, this would never end, and nothing would be fetched again.
        for _ in range(len(self._waiting)):
            waiter = self._waiting.popleft()
            if not waiter.decided.done():
                waiter.decided.set_result(self._failure is None and waiter.before_fetch)
                await asyncio.sleep(0)

    def _known(self, kid: str | None, algorithm: str) -> tuple[jwt.PyJWK, ...] | None:
        """Return the candidates; None if the kid is unknown.

        Raises InvalidToken if the keys cannot fit, and Overloaded without keys.
        """
        keys = self.keys
        if keys is None:
            raise Overloaded(RefusalReason.IDENTITY)
        if kid is not None:
            found = keys.find(kid, algorithm)
            if found == ():
                raise InvalidToken(internal_reason="the key that the token's kid names is not for the token's alg")
            return found
        found = keys.for_algorithm(algorithm)
        if len(found) > 1:
            raise InvalidToken(internal_reason="the token has no kid, and its issuer has several keys for its alg")
        return found or None

    async def _next_fetch(self) -> bool:
        """Wait for the fetch that is under way, or ask for one. Return whether it began after this call, and succeeded.

        Raises Overloaded if none may be asked for now, or too many wait.
        """
        if not (self._fetching or self._wanted.is_set()):
            if not self._running or self._clock() - self._ended_at < self._timing.pause_with_keys:
                raise Overloaded(RefusalReason.IDENTITY)
            self._wanted.set()
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded(RefusalReason.IDENTITY)
        waiter = _Waiter(not self._fetching, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        return await waiter.decided

    def _succeeded(self, fetched: FetchedKeys) -> None:
        before = self._keys
        self._keys, self._good_at, self._failure = fetched.keys, self._clock(), None
        self._pause, self._expiry = self._timing.refresh(fetched.max_age), self._timing.expiry(fetched.max_age)
        if self._logged is not None or before is None or before.kids != fetched.keys.kids:
            count = fetched.keys.count
            _log.info("issuer %s: fetched %d key%s", self.issuer, count, "" if count == 1 else "s")
        self._logged = None

    def _failed(self, cause: str, details: str, error: Exception | None = None) -> None:
        has_keys = self.keys is not None
        pause = self._timing.pause_with_keys if has_keys else self._timing.pause_without_keys
        # Spread, so that tasks do not ask at the same time.
        self._pause = pause * random.uniform(1, 1.5)  # noqa: S311  spreads load
        self._failure = cause
        if self._logged != (details, has_keys):
            consequence = (
                f"the known keys stay in use until {self._expiry / 3600:.0f} h after they were fetched"
                if has_keys
                else "its tokens cannot be checked until then; clients are told to come back"
            )
            _log.warning(
                "issuer %s: the keys could not be fetched (%s); retrying every %.0f s; %s",
                *(self.issuer, details, pause, consequence),
                exc_info=error,
            )
        self._logged = (details, has_keys)
