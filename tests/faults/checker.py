"""Checks the events that all clients saw, and lists the violations of guarantees."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sse_service.model.cursor import Cursor, parse
from tests.faults.client import Block, Client


@dataclass(frozen=True, slots=True)
class Published:
    """An event as it was put into the queue."""

    id: str
    at: float
    """Monotonic seconds."""
    channels: frozenset[str]
    data: str


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken guarantee."""

    kind: str
    text: str


def check(
    clients: Sequence[Client],
    published: Mapping[str, Published],
    acknowledged: Iterable[str],
    dead: Iterable[str] = (),
    *,
    gaps_allowed: Container[str] = ("epoch", "trimmed", "lost"),
) -> list[Violation]:
    """Compare the seen events with the published ones. Return the violations.

    ``acknowledged`` are the events whose messages were deleted. ``gaps_allowed`` are the reasons of legitimate gaps.
    """
    found = [Violation("dead letter", f"{event} is in the dead-letter queue") for event in dead]
    where: dict[tuple[str, int], tuple[str, str]] = {}
    places: dict[str, set[tuple[str, int]]] = {}
    for client in clients:
        found += _each_block(client, published, where, places)
    for client in clients:
        found += _order(client)
        found += _complete(client, published, set(acknowledged), places)
        gaps = [block for block in client.seen if block.type == "stream.gap"]
        found += [
            Violation("gap", f"{client.name} got {block.data} at {block.id}")
            for block in gaps
            if json.loads(block.data)["reason"] not in gaps_allowed
        ]
    return found


def position(block: Block) -> Cursor:
    cursor = parse(block.id)
    assert cursor is not None, block
    return cursor


def event_id(block: Block) -> str:
    return str(json.loads(block.data)["id"])


def _each_block(
    client: Client,
    published: Mapping[str, Published],
    where: dict[tuple[str, int], tuple[str, str]],
    places: dict[str, set[tuple[str, int]]],
) -> list[Violation]:
    """Check that clients saw only published events of their channels, and that they agree on one event per position."""
    found = []
    for block in client.seen:
        if block.type.startswith("stream."):
            continue
        try:
            known = published.get(event_id(block))
        except (ValueError, KeyError, TypeError):
            known = None
        if known is None or known.data != block.data:
            found.append(Violation("never published", f"{client.name} saw {block.data!r}"))
            continue
        if not known.channels & client.channels:
            found.append(Violation("not addressed", f"{client.name} saw {block.data!r} of {set(known.channels)}"))
        cursor = position(block)
        place = cursor.epoch, cursor.offset
        if where.setdefault(place, (known.id, block.data)) != (known.id, block.data):
            found.append(Violation("disagreement", f"{client.name} saw {known.id} at {block.id}, others another"))
        places.setdefault(known.id, set()).add(place)
    for event, several in places.items():
        by_epoch: dict[str, set[int]] = {}
        for epoch, offset in several:
            by_epoch.setdefault(epoch, set()).add(offset)
        if any(len(offsets) > 1 for offsets in by_epoch.values()):
            text = f"{event} has several positions in one epoch: {sorted(several)}"
            if not any(v.text == text for v in found):
                found.append(Violation("doubled", text))
    return found


def _order(client: Client) -> list[Violation]:
    """Check that offsets rise over all connections of a client. Only a gap may go back."""
    found = []
    last: Cursor | None = None
    for block in client.seen:
        if not block.id:
            continue
        cursor = position(block)
        if block.type == "stream.gap":
            if json.loads(block.data)["reason"] == "epoch" and last is not None and last.epoch == cursor.epoch:
                found.append(Violation("gap", f"{client.name} was told of another epoch at {block.id} after {last}"))
            last = cursor
            continue
        if last is not None and cursor.epoch != last.epoch and block.type != "stream.ready":
            found.append(Violation("silent epoch", f"{client.name}: {block.id} after {last} without a gap"))
        elif last is not None and cursor.epoch == last.epoch:
            service = block.type.startswith("stream.")
            if cursor.offset < last.offset or (cursor.offset == last.offset and not service):
                found.append(Violation("order", f"{client.name}: {block.type} {block.id} after {last}"))
        last = cursor
    return found


def _complete(
    client: Client,
    published: Mapping[str, Published],
    acknowledged: set[str],
    places: Mapping[str, set[tuple[str, int]]],
) -> list[Violation]:
    """Check that the client saw every event acknowledged since its first ``stream.ready``, or that a gap covers it."""
    greeting = next((block for block in client.seen if block.type == "stream.ready"), None)
    if greeting is None:
        return [Violation("never ready", client.name)]
    saw = {event_id(block) for block in client.seen if not block.type.startswith("stream.")}
    holes = _holes(client)
    last_gap = max((block.at for block in client.seen if block.type == "stream.gap"), default=0.0)
    found = []
    for event in acknowledged:
        known = published[event]
        if event in saw or not known.channels & client.channels or known.at < greeting.at:
            continue
        stored_at = places.get(event)
        if stored_at is None:
            # No client saw it, so its position is unknown. Only a later gap can cover it.
            excused = last_gap > known.at
        else:
            excused = any(_in(hole, place) for hole in holes for place in stored_at)
        if not excused:
            found.append(Violation("lost", f"{client.name} never saw {event} of {set(known.channels)}"))
    return found


@dataclass(frozen=True, slots=True)
class _Hole:
    """The range of positions that a gap covers."""

    after: Cursor | None
    upto: Cursor


def _holes(client: Client) -> list[_Hole]:
    holes = []
    last: Cursor | None = None
    for block in client.seen:
        if block.id:
            if block.type == "stream.gap":
                holes.append(_Hole(last, position(block)))
            last = position(block)
    return holes


def _in(hole: _Hole, place: tuple[str, int]) -> bool:
    epoch, offset = place
    if hole.after is not None and epoch == hole.after.epoch and offset <= hole.after.offset:
        return False
    # All events of an epoch that began and ended between the two positions are covered.
    return epoch != hole.upto.epoch or offset <= hole.upto.offset
