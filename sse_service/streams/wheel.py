"""The streams by the second in which the timer must look at them next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sse_service.streams.subscription import Subscription


class Wheel:
    """Finds the streams that are due without a look at those that are not.

    Seconds are whole ones of the timer's clock. A stream is in one of them at most: ``Subscription.look_at`` says in
    which. It is 0 when the stream has ended.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, set[Subscription]] = {}

    def put(self, subscription: Subscription, second: int) -> None:
        """Let the stream be due in this second. It must not be in the wheel."""
        subscription.look_at = second
        try:
            self._seconds[second].add(subscription)
        except KeyError:
            self._seconds[second] = {subscription}

    def discard(self, subscription: Subscription) -> None:
        """Forget the stream, which has ended, so that nothing of it stays in memory. Idempotent."""
        self._seconds.get(subscription.look_at, set()).discard(subscription)
        subscription.look_at = 0

    def take(self, second: int) -> list[Subscription]:
        """Remove and return the streams that are due in this second or were due before."""
        return self._take(each for each in self._seconds if each <= second)

    def take_all(self) -> list[Subscription]:
        """Remove and return all streams."""
        return self._take(self._seconds)

    def _take(self, seconds: Iterable[int]) -> list[Subscription]:
        return [each for second in sorted(seconds) for each in self._seconds.pop(second)]
