"""Counters that are added to at every event: plain numbers, which become Prometheus's families when they are asked for.

prometheus-client's own take a lock at each addition, which costs more than all else that an event's counting does. They
are for one thread, as the event loop and the admin port's answers are.
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

    def __init__(self, name: str, meaning: str) -> None:
        self._name = name
        self._meaning = meaning
        self._value = 0

    def inc(self, amount: int = 1) -> None:
        """Count so many more."""
        self._value += amount

    def collect(self) -> Iterable[CounterMetricFamily]:
        """As the registry asks for it."""
        return [CounterMetricFamily(self._name, self._meaning, self._value)]


class PlainHistogram(Collector):
    """A histogram without labels."""

    def __init__(self, name: str, meaning: str, edges: Sequence[float]) -> None:
        """``edges`` are the buckets' upper ones, rising; what lies above the last is counted too."""
        self._name = name
        self._meaning = meaning
        self._edges = edges
        self._counts = [0] * (len(edges) + 1)
        self._sum = 0.0

    def observe(self, amount: float) -> None:
        """Count one of this size."""
        # An edge belongs to its bucket: ``le`` is less or equal
        self._counts[bisect_left(self._edges, amount)] += 1
        self._sum += amount

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """As the registry asks for it."""
        names = map(floatToGoString, (*self._edges, float("inf")))
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        return [HistogramMetricFamily(self._name, self._meaning, buckets, self._sum)]
