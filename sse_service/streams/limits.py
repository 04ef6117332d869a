"""How many streams may be open, in all, for each user and for each address, and how fast they may be opened."""

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

LEAST_SHARE = 5
"""Streams that one user may open each second, whatever the limit: a browser that comes back with all its tabs."""

BURST_SECONDS = 2
"""After a pause, this many seconds' worth of streams may open at once."""


class Limits:
    """Counts the streams that are open, and those that were opened in this second."""

    def __init__(
        self,
        *,
        streams: int,
        per_user: int,
        per_address: int | None,
        opens_per_second: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``per_address`` None and ``opens_per_second`` 0 set no limit; ``clock`` counts seconds."""
        self._streams = streams
        self._per_user = per_user
        self._per_address = per_address
        self._rate = opens_per_second
        self._clock = clock
        self._may_open = float(BURST_SECONDS * opens_per_second)
        self._looked = clock()
        # What one user may open each second, so that no user uses up the rate for all others.
        self._share = max(opens_per_second // 10, LEAST_SHARE)
        self._opened: Counter[str] = Counter()
        self._second = self._looked
        self._open = 0
        # Oldest first.
        self._of_user: dict[str, list[Subscription]] = {}
        self._of_address: Counter[str] = Counter()

    def check(self, *, user: str, address: str | None, resumes: bool) -> None:
        """Count an attempt. Raises Overloaded where this stream may not be opened now.

        A stream that resumes evicts nobody. Otherwise two pages over the limit would evict each other for ever.
        """
        if self._open >= self._streams:
            raise Overloaded(RefusalReason.LIMIT)
        if resumes and len(self._of_user.get(user, ())) >= self._per_user:
            raise Overloaded(RefusalReason.USER)
        if self._per_address is not None and self._of_address[network(address)] >= self._per_address:
            raise Overloaded(RefusalReason.ADDRESS)
        if self._rate:
            self._spend(user)

    def opened(self, subscription: Subscription, address: str | None) -> Subscription | None:
        """Count a stream. Over the user's limit, give that user's oldest stream, which no longer counts."""
        self._open += 1
        if self._per_address is not None:
            self._of_address[network(address)] += 1
        mine = self._of_user.setdefault(subscription.principal.user, [])
        mine.append(subscription)
        return mine.pop(0) if len(mine) > self._per_user else None

    def ended(self, subscription: Subscription, address: str | None) -> None:
        """Stop counting a stream."""
        self._open -= 1
        if self._per_address is not None:
            place = network(address)
            self._of_address[place] -= 1
            if not self._of_address[place]:
                del self._of_address[place]
        mine = self._of_user.get(subscription.principal.user, [])
        if subscription in mine:
            mine.remove(subscription)
            if not mine:
                del self._of_user[subscription.principal.user]

    def _spend(self, user: str) -> None:
        now = self._clock()
        if now - self._second >= 1:
            self._second = now
            self._opened.clear()
        if self._opened[user] >= self._share:
            raise Overloaded(RefusalReason.RATE)
        gained = (now - self._looked) * self._rate
        self._may_open = min(self._may_open + gained, float(BURST_SECONDS * self._rate))
        self._looked = now
        if self._may_open < 1:
            raise Overloaded(RefusalReason.RATE)
        self._may_open -= 1
        self._opened[user] += 1


@functools.lru_cache(maxsize=4096)
def network(address: str | None) -> str:
    """Give what counts as one address: for IPv6 the /64, which one subscriber is given as a whole (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False).network_address)
