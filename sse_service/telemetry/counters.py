"""A counter and a histogram that are cheap enough to be updated for every event.

prometheus-client's own classes take a lock for each update, which costs more than all other work per event in this
package. These two classes have no lock. They may be used only in the event loop's thread, which also answers the
scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class PlainCounter(Collector):
    """A counter without labels."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._value = 0

    def inc(self, amount: int = 1) -> None:
        """Add ``amount``."""
        self._value += amount

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Return the current value, for the registry."""
        return [CounterMetricFamily(self._name, self._documentation, self._value)]


class PlainHistogram(Collector):
    """A histogram without labels."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float]) -> None:
        """``buckets`` are the upper bounds in ascending order. A last bucket, ``+Inf``, is added."""
        self._name = name
        self._documentation = documentation
        self._bounds = (*buckets, float("inf"))
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, amount: float) -> None:
        """Count one observation."""
        # A bound belongs to its bucket: ``le`` means less or equal.
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def bucket_counts(self) -> list[tuple[float, int]]:
        """Return each bucket's upper bound and its own count. It is not cumulative, unlike in Prometheus's format."""
        return list(zip(self._bounds, self._counts, strict=True))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the current values, for the registry."""
        cumulative = zip(map(floatToGoString, self._bounds), accumulate(self._counts), strict=True)
        return [HistogramMetricFamily(self._name, self._documentation, list(cumulative), self._sum)]


def increase(now: Iterable[tuple[float, int]], before: Iterable[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return by how much each bucket count of a histogram has grown since ``before``."""
    return [(bound, count - earlier) for (bound, count), (_, earlier) in zip(now, before, strict=True)]


def quantile(buckets: Sequence[tuple[float, int]], share: float) -> float | None:
    """Return the upper bound of the bucket that contains the quantile, or None without observations.

    The true value is at most this bound. There is no interpolation: the distribution within a bucket is unknown.
    """
    wanted = share * sum(count for _, count in buckets)
    passed = 0
    for bound, count in buckets:
        passed += count
        if passed >= wanted > 0:
            return bound
    return None
