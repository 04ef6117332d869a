"""How many streams may be open: in total, per user and per address; and how fast they may be opened."""

from __future__ import annotations

import functools
import ipaddress
import time
from collections import Counter
from typing import TYPE_CHECKING

from sse_service.model.errors import Overloaded
from sse_service.model.reasons import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.streams.subscription import Subscription

MIN_OPENS_PER_USER = 5
"""A user may always open this many streams a second: a browser can reconnect with all its tabs."""

MAX_UNIDENTIFIED = 1000
"""Clients that have not said yet who they are may be at most this many, and at most a twentieth of the streams."""

BURST_SECONDS = 2
"""After a pause, as many streams may open at once as the rate allows in this many seconds."""


class Limits:
    """Counts open streams, and limits the rate of openings with a token bucket."""

    def __init__(
        self,
        *,
        streams: int,
        per_user: int,
        per_address: int | None,
        opens_per_second: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``per_address=None`` and ``opens_per_second=0`` mean no limit. ``clock`` returns seconds."""
        self._streams = streams
        self._per_user = per_user
        self._per_address = per_address
        self._rate = opens_per_second
        self._clock = clock
        self.most_unidentified = max(min(MAX_UNIDENTIFIED, streams // 20), 1)
        """Clients that may be connected and have not said yet who they are."""
        self._opens = _TokenBucket(opens_per_second, clock)
        # Apart from the others: whoever has no credential must not use up what users need.
        self._unidentified_opens = _TokenBucket(opens_per_second, clock)
        # One user may open only a tenth of the rate, so that no user uses it up for all others.
        self._opens_per_user = max(opens_per_second // 10, MIN_OPENS_PER_USER)
        self._opened_by_user: Counter[str] = Counter()
        self._second_began = clock()
        self._open = 0
        # Oldest first.
        self._of_user: dict[str, list[Subscription]] = {}
        self._of_address: Counter[str] = Counter()

    def check(self, *, user: str, address: str | None, resumes: bool) -> None:
        """Check whether a stream may be opened now, and count the attempt. Raises Overloaded if it may not.

        A stream that resumes does not evict another one. Otherwise two pages over the limit would evict each other in
        turn for ever.
        """
        if self._open >= self._streams:
            raise Overloaded(RefusalReason.LIMIT)
        if resumes and len(self._of_user.get(user, ())) >= self._per_user:
            raise Overloaded(RefusalReason.USER)
        if self._per_address is not None and self._of_address[network(address)] >= self._per_address:
            raise Overloaded(RefusalReason.ADDRESS)
        if self._rate:
            self._take_token(user)

    def check_unidentified(self) -> None:
        """Check whether a client may connect that will say later who it is. Raises Overloaded if it may not."""
        if self._open >= self._streams:
            raise Overloaded(RefusalReason.LIMIT)
        if self._rate and not self._unidentified_opens.take():
            raise Overloaded(RefusalReason.RATE)

    def opened(self, subscription: Subscription, address: str | None) -> Subscription | None:
        """Count a stream. Over the user's limit, stop counting that user's oldest stream and return it."""
        self._open += 1
        if self._per_address is not None:
            self._of_address[network(address)] += 1
        streams = self._of_user.setdefault(subscription.principal.user, [])
        streams.append(subscription)
        return streams.pop(0) if len(streams) > self._per_user else None

    def ended(self, subscription: Subscription, address: str | None) -> None:
        """Stop counting a stream."""
        self._open -= 1
        if self._per_address is not None:
            key = network(address)
            self._of_address[key] -= 1
            if not self._of_address[key]:
                del self._of_address[key]
        streams = self._of_user.get(subscription.principal.user, [])
        if subscription in streams:
            streams.remove(subscription)
            if not streams:
                del self._of_user[subscription.principal.user]

    def _take_token(self, user: str) -> None:
        now = self._clock()
        if now - self._second_began >= 1:
            self._second_began = now
            self._opened_by_user.clear()
        if self._opened_by_user[user] >= self._opens_per_user:
            raise Overloaded(RefusalReason.RATE)
        if not self._opens.take():
            raise Overloaded(RefusalReason.RATE)
        self._opened_by_user[user] += 1


class _TokenBucket:
    """Lets so many pass per second, and BURST_SECONDS times as many after a pause."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._rate = per_second
        self._clock = clock
        self._tokens = float(BURST_SECONDS * per_second)
        self._refilled_at = clock()

    def take(self) -> bool:
        """Take a token. Returns False if there is none."""
        now = self._clock()
        gained = (now - self._refilled_at) * self._rate
        self._tokens = min(self._tokens + gained, float(BURST_SECONDS * self._rate))
        self._refilled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@functools.lru_cache(maxsize=4096)
def network(address: str | None) -> str:
    """Return what counts as one address. For IPv6 this is the /64, because a customer gets a whole /64 (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False).network_address)
