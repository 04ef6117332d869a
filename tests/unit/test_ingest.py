"""A message is done only when its events are stored."""

import asyncio
from collections.abc import Sequence

from consumers.base import Outcome
from consumers.envelope import Envelope, unwrap
from sse_service.brokers.base import Entry
from sse_service.brokers.memory import MemoryBroker
from sse_service.errors import Unavailable
from sse_service.events import Route
from sse_service.ingest import Ingest
from sse_service.routing import Router

GOOD, NOBODY, BROKEN = '{"user_id": "42"}', "{}", '{"user_id": 1.5}'
S3_TEST = '{"Service": "Amazon S3", "Event": "s3:TestEvent"}'


class AwayBroker(MemoryBroker):
    """A broker whose store cannot be reached."""

    async def publish(self, routes: Sequence[Route]) -> None:
        raise Unavailable


def envelopes(*bodies: str) -> list[Envelope]:
    return [unwrap(message_id=str(n), body=body) for n, body in enumerate(bodies)]


def ingest(broker: MemoryBroker, *bodies: str, discard: bool = False) -> list[Outcome]:
    handler = Ingest(router=Router(), broker=broker, discard_unrouted=discard)
    return asyncio.run(handler(envelopes(*bodies)))


def test_the_good_around_the_bad_are_stored_in_order() -> None:
    live: list[Entry] = []
    outcomes = ingest(MemoryBroker(listener=live.append), GOOD, BROKEN, GOOD, NOBODY, S3_TEST, GOOD)
    bad = Outcome.NOT_UNDERSTOOD
    assert outcomes == [Outcome.DONE, bad, Outcome.DONE, bad, Outcome.DONE, Outcome.DONE]
    assert [entry.event.id for entry in live] == ["0", "2", "5"]


def test_what_names_nobody_is_done_where_it_is_to_be_discarded() -> None:
    live: list[Entry] = []
    assert ingest(MemoryBroker(listener=live.append), NOBODY, BROKEN, discard=True) == [
        Outcome.DONE,
        Outcome.NOT_UNDERSTOOD,
    ]
    assert live == []


def test_an_outage_of_the_broker_is_not_now_and_the_bad_stay_bad() -> None:
    live: list[Entry] = []
    assert ingest(AwayBroker(listener=live.append), GOOD, BROKEN) == [Outcome.NOT_NOW, Outcome.NOT_UNDERSTOOD]
