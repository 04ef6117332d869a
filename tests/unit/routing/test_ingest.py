"""A message is done only when its events are stored."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence

import pytest

from consumers.base import Outcome
from consumers.envelope import Envelope, unwrap
from sse_service.brokers.base import Entry
from sse_service.brokers.memory.broker import MemoryBroker
from sse_service.model.errors import Unavailable
from sse_service.model.events import Route
from sse_service.routing.ingest import Ingest
from sse_service.routing.router import Router
from sse_service.telemetry.metrics import Metrics
from tests.unit.task import no_revocations

GOOD, UNROUTED, BROKEN = '{"user_id": "42"}', "{}", '{"user_id": 1.5}'
NOT_JSON = '{"user_id": "42", "ratio": NaN}'
NAMES_NOBODY = (
    "(reason: unrouted; the message names nobody: it has no message attributes; "
    "expected: user_id, group or broadcast=true)"
)
S3_TEST = '{"Service": "Amazon S3", "Event": "s3:TestEvent"}'


class Setup:
    """An Ingest with a broker that may be unavailable."""

    def __init__(self, *, unavailable: bool = False, discard: bool = False) -> None:
        self.live: list[Entry] = []
        self.metrics = Metrics()
        make: Callable[..., MemoryBroker] = UnavailableBroker if unavailable else MemoryBroker
        self.handler = Ingest(
            router=Router(s3_key_pattern="users/{user}/*"),
            broker=make(listener=self.live.extend, metrics=self.metrics, **no_revocations()),
            metrics=self.metrics,
            discard_unrouted=discard,
        )

    def handle(self, *bodies: str) -> list[Outcome]:
        return asyncio.run(self.handler(envelopes(*bodies)))

    def counted(self, line: str) -> bool:
        return line in self.metrics.render().decode().splitlines()


class UnavailableBroker(MemoryBroker):
    """A broker whose store cannot be reached."""

    async def publish(self, routes: Sequence[Route]) -> None:
        raise Unavailable


def envelopes(*bodies: str) -> list[Envelope]:
    return [unwrap(message_id=str(n), body=body) for n, body in enumerate(bodies)]


DONE, BAD, NOT_NOW = Outcome.DONE, Outcome.NOT_UNDERSTOOD, Outcome.NOT_NOW


def test_events_of_good_messages_between_bad_ones_are_stored_in_order() -> None:
    setup = Setup()
    assert setup.handle(GOOD, BROKEN, GOOD, UNROUTED, S3_TEST, GOOD) == [DONE, BAD, DONE, BAD, DONE, DONE]
    assert [entry.event.id for entry in setup.live] == ["0", "2", "5"]


def test_rejected_messages_are_counted_by_reason() -> None:
    setup = Setup()
    setup.handle(BROKEN, UNROUTED, S3_TEST, UNROUTED)
    assert setup.counted('sse_messages_rejected_total{reason="names"} 1.0')
    assert setup.counted('sse_messages_rejected_total{reason="unrouted"} 2.0')
    assert setup.counted('sse_events_dropped_total{reason="unrouted"} 0.0')


def test_the_log_says_that_a_name_has_white_space_around_it(caplog: pytest.LogCaptureFixture) -> None:
    assert Setup().handle('{"user_id": " canary"}') == [BAD]
    assert caplog.messages == [
        "message 0 (event 0) was not understood (reason: names; a user or group has white space around its name; "
        "send the name without it)"
    ]


def test_with_discard_a_message_that_names_nobody_is_done_and_counted() -> None:
    setup = Setup(discard=True)
    assert setup.handle(UNROUTED, BROKEN) == [DONE, BAD]
    assert setup.live == []
    assert setup.counted('sse_events_dropped_total{reason="unrouted"} 1.0')
    assert setup.counted('sse_messages_rejected_total{reason="unrouted"} 0.0')


def test_a_record_that_names_nobody_is_dropped_beside_one_that_names_a_user() -> None:
    setup = Setup()
    records = ",".join(
        f'{{"eventSource": "aws:s3", "s3": {{"object": {{"key": "{key}"}}}}}}' for key in ("users/1/a", "other")
    )
    assert setup.handle(f'{{"Records": [{records}]}}') == [DONE]
    assert len(setup.live) == 1
    assert setup.counted('sse_events_dropped_total{reason="unrouted"} 1.0')


def s3_message(*keys: str | None) -> str:
    records = ({"eventSource": "aws:s3", "s3": {"object": {"key": key} if key else {}}} for key in keys)
    return json.dumps({"Records": list(records)})


def test_good_records_beside_a_bad_one_are_stored_once_and_the_message_is_rejected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    setup = Setup()
    message = s3_message("users/1/a", None, "users/3/a")
    assert [setup.handle(message) for _ in range(2)] == [[BAD], [BAD]]
    assert [entry.event.id for entry in setup.live] == ["0#0", "0#2"]
    # A message counts once for each receive, regardless of its number of records.
    assert setup.counted('sse_messages_rejected_total{reason="s3"} 2.0')
    assert (
        caplog.messages
        == ["message 0 (event 0) record 1 was not understood (reason: s3; the record has no object key)"] * 2
    )


def test_a_message_with_a_bad_record_is_held_while_its_good_ones_cannot_be_stored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    setup = Setup(unavailable=True)
    assert setup.handle(s3_message("users/1/a", None)) == [NOT_NOW]
    # It is retried every second. It is counted only when it is rejected.
    assert setup.counted('sse_messages_rejected_total{reason="s3"} 0.0')
    assert caplog.messages == []


def test_a_record_that_is_not_understood_is_never_discarded() -> None:
    assert Setup(discard=True).handle(s3_message("nobody", None)) == [BAD]


@pytest.mark.parametrize("body", ["for nobody", NOT_JSON])
def test_a_message_that_is_not_json_and_names_nobody_has_the_reason_not_json(
    body: str, caplog: pytest.LogCaptureFixture
) -> None:
    setup = Setup()
    assert setup.handle(body) == [BAD]
    assert caplog.messages == [
        "message 0 (event 0) was not understood (reason: not_json; the message names nobody: it has no message "
        "attributes, and its body is not JSON; expected: user_id, group or broadcast=true)"
    ]
    assert Setup(discard=True).handle(body) == [DONE]


@pytest.mark.parametrize("body", ['"a text in JSON"', "[]", "null", '"42"'])
def test_json_that_names_nobody_has_the_reason_unrouted(body: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Setup().handle(body) == [BAD]
    assert caplog.messages == ["message 0 (event 0) was not understood " + NAMES_NOBODY]


def attributes_in_log(body: str, caplog: pytest.LogCaptureFixture, *names: str) -> str:
    """Handle one message with these attributes, and return its line in the log."""
    attributes = {name: {"DataType": "String", "StringValue": "canary"} for name in names}
    envelope = unwrap(message_id="0", body=body, attributes=attributes)
    caplog.clear()
    assert asyncio.run(Setup().handler([envelope])) == [BAD]
    [line] = caplog.messages
    assert "canary" not in line
    return line


@pytest.mark.parametrize("name", ["UserId", "groups"])
def test_a_misspelled_attribute_is_named_in_the_log(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert attributes_in_log("hi", caplog, name) == (
        f"message 0 (event 0) was not understood (reason: unrouted; the message names nobody: its message attributes "
        f"are {name}, and its body is not JSON; expected: user_id, group or broadcast=true)"
    )
    assert f"attributes are {name}; expected: user_id" in attributes_in_log("{}", caplog, name)


def test_the_log_names_at_most_ten_attributes_shortened_and_printable(caplog: pytest.LogCaptureFixture) -> None:
    line = attributes_in_log("{}", caplog, *(f"a{n}" for n in range(12)))
    assert "attributes are a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 and 2 more; expected" in line
    assert f"attributes are {'x' * 64}; expected" in attributes_in_log("{}", caplog, "x" * 65)
    assert "attributes are a?b?c?; expected" in attributes_in_log("{}", caplog, "a\nb c\u202e")


def test_a_comma_in_a_name_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    setup = Setup()
    assert setup.handle('{"user_id": "42,43"}', '{"user_id": "44,45"}') == [DONE, DONE]
    assert [entry.channels for entry in setup.live] == [("user:42,43",), ("user:44,45",)]
    [warning] = caplog.messages
    assert warning.startswith("message 0 (event 0) names a user or group with a comma in it")
    assert "42,43" not in warning


def test_in_an_outage_of_the_broker_good_messages_are_held_and_bad_ones_rejected() -> None:
    assert Setup(unavailable=True).handle(GOOD, BROKEN, S3_TEST) == [NOT_NOW, BAD, DONE]


def test_at_debug_each_stored_event_has_one_line_with_its_ids_and_no_payload(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = '{"user_id": ["1", "2"], "text": "canary"}'
    with caplog.at_level(logging.DEBUG, logger="sse_service"):
        Setup().handle(body, UNROUTED)
        Setup(unavailable=True).handle(body)
        Setup(discard=True).handle(UNROUTED)
    assert [record.getMessage() for record in caplog.records] == [
        "message 0: stored event 0 for 2 channels",
        "message 1 (event 1) was not understood " + NAMES_NOBODY,
        "message 0: 1 events name nobody",
    ]


def test_the_events_of_a_message_carry_its_trace() -> None:
    setup = Setup()
    records = [{"eventSource": "aws:s3", "s3": {"object": {"key": f"users/42/{n}"}}} for n in range(2)]
    traced, plain = envelopes(json.dumps({"Records": records}), GOOD)
    asyncio.run(setup.handler([traced._replace(trace="t"), plain]))
    assert [entry.event.trace for entry in setup.live] == ["t", "t", None]
