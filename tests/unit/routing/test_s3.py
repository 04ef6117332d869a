"""S3 events go to the user in the object's key."""

import json
from typing import Any

import pytest

from consumers.errors import ConsumerReason
from sse_service.model.reasons import RejectionReason
from sse_service.routing.overrides import Overrides
from sse_service.routing.router import Rejection, Router, Routing
from tests.unit.routing.messages import channels, refused, routed, routing, s3_record

KEYS = Router(s3_key_pattern="users/{user}/*")


def eventbridge_event(key: Any, **detail: Any) -> dict[str, Any]:
    """Return an S3 event as EventBridge delivers it."""
    return {
        "version": "0",
        "id": "e-1",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "resources": ["arn:aws:s3:::b"],
        "detail": {"bucket": {"name": "b"}, "object": {"key": key, "size": 5}, "reason": "PutObject", **detail},
    }


def test_each_record_is_an_event_for_the_user_in_its_key() -> None:
    body = {"Records": [s3_record("users/u%2B1/a+b%2Fc.pdf"), s3_record("other/x"), s3_record("users/u2/d")]}
    routes = routed(body, KEYS)
    assert [(r.channels, r.event.id, r.event.subject) for r in routes] == [
        (("user:u+1",), "m#0", "users/u+1/a b/c.pdf"),
        (("user:u2",), "m#2", "users/u2/d"),
    ]
    assert routes[0].event.type == "ObjectCreated:Put"
    assert routing(body, KEYS).unrouted == 1


@pytest.mark.parametrize("key", ["users/+42/a", "users/%2042/x", "users/42%C2%A0/x"])
def test_a_key_with_white_space_around_the_user_is_not_understood(key: str) -> None:
    found = routing({"Records": [s3_record(key), s3_record("users/43/a")]}, KEYS)
    assert [route.channels for route in found.routes] == [("user:43",)]
    assert [(r.reason, r.record) for r in found.rejections] == [(RejectionReason.NAMES, 0)]
    assert refused(eventbridge_event("users/ 42/a"), KEYS) == RejectionReason.NAMES


def test_without_a_pattern_s3_names_nobody() -> None:
    assert channels({"Records": [s3_record("users/u1/a")]}) == []
    assert channels(eventbridge_event("users/u1/a")) == []


def test_the_s3_test_notification_contains_no_event() -> None:
    assert routing({"Service": "Amazon S3", "Event": "s3:TestEvent"}, user_id="42") == Routing()


@pytest.mark.parametrize("s3", [{}, None, {"object": {"key": 1}}])
def test_a_record_without_a_key_is_not_understood(s3: Any) -> None:
    assert refused({"Records": [{"eventSource": "aws:s3", "s3": s3}]}) == RejectionReason.S3


def test_records_of_other_sources_are_a_plain_body() -> None:
    for records in ([{"eventSource": "aws:sqs"}], [7], [], 7):
        assert channels({"Records": records, "user_id": "42"}) == [("user:42",)]


@pytest.mark.parametrize("pattern", ["", "users/*", "{user}/{user}"])
def test_a_key_pattern_must_name_the_user_once(pattern: str) -> None:
    with pytest.raises(ValueError, match="exactly once"):
        Router(s3_key_pattern=pattern)


def test_a_record_that_is_nested_too_deeply_is_not_understood() -> None:
    text = json.dumps({"Records": [s3_record("k")]}).replace('"s3"', '"deep": ' + "[" * 300 + "]" * 300 + ', "s3"')
    assert refused(text, user_id="42") == ConsumerReason.DATA


def test_a_bad_record_does_not_affect_the_others() -> None:
    bad = {"eventSource": "aws:s3"}
    found = routing({"Records": [s3_record("users/1/a"), bad, s3_record("users/3/c")]}, KEYS)
    assert [(r.channels, r.event.id) for r in found.routes] == [(("user:1",), "m#0"), (("user:3",), "m#2")]
    assert found.rejections == (Rejection(RejectionReason.S3, record=1, advice="the record has no object key"),)


@pytest.mark.parametrize("odd", [7, None, [], {}, {"eventSource": "aws:sqs"}])
def test_a_record_that_is_not_from_s3_does_not_affect_the_s3_records(odd: Any) -> None:
    found = routing({"Records": [odd, s3_record("users/42/a")]}, KEYS)
    assert [(r.channels, r.event.id) for r in found.routes] == [(("user:42",), "m#1")]
    assert found.rejections == (Rejection(RejectionReason.S3, record=0, advice="the record is not from S3"),)


def test_a_key_with_a_control_character_gives_no_subject() -> None:
    event = routed({"Records": [s3_record("users/42/a%0Db")]}, KEYS)[0].event
    assert event.subject is None
    event = routed(eventbridge_event("users/42/a\rb"), KEYS)[0].event
    assert event.subject is None


def test_an_s3_event_through_eventbridge_goes_to_the_user_in_its_key() -> None:
    [route] = routed(eventbridge_event("users/42/a+b%2Fc.pdf"), KEYS)
    assert route.channels == ("user:42",)
    # The key is not decoded: only S3's own notifications encode it.
    assert (route.event.id, route.event.type, route.event.subject) == ("e-1", "Object Created", "users/42/a+b%2Fc.pdf")
    assert json.loads(route.event.data) == eventbridge_event("users/42/a+b%2Fc.pdf")["detail"]


def test_a_user_added_by_an_input_transformer_comes_before_the_key() -> None:
    assert routed(eventbridge_event("users/42/a", user_id="43"), KEYS)[0].channels == ("user:43",)
    assert routed(eventbridge_event("users/42/a"), KEYS, user_id="44")[0].channels == ("user:44",)


@pytest.mark.parametrize("detail", [{"object": {}}, {"object": "x"}, {"bucket": {}}, {"object": {"key": 7}}])
def test_an_s3_event_without_an_object_is_a_plain_body(detail: dict[str, Any]) -> None:
    assert routing(eventbridge_event("users/42/a", **detail), KEYS) == Routing(unrouted=1)


def test_the_key_of_another_source_names_nobody() -> None:
    assert routing({**eventbridge_event("users/42/a"), "source": "my.app"}, KEYS) == Routing(unrouted=1)


def test_overrides_see_the_s3_key_as_the_subject() -> None:
    router = Router(overrides=Overrides(user="subject"))
    assert routed(eventbridge_event("k"), router)[0].channels == ("user:k",)
    assert routed({"Records": [s3_record("k")]}, router)[0].channels == ("user:k",)


def test_overrides_are_evaluated_for_each_record() -> None:
    records = [{**s3_record(f"k{n}"), "userIdentity": {"principalId": f"u{n}"}, "eventTime": "t"} for n in range(2)]
    overrides = Overrides(user="body.userIdentity.principalId", data="[type, subject, time]", id="body.s3.object.key")
    routes = routed({"Records": records}, Router(overrides=overrides, s3_key_pattern="{user}"))
    assert [(r.channels, r.event.id, r.event.data) for r in routes] == [
        (("user:u0",), "k0#0", '["ObjectCreated:Put","k0","t"]'),
        (("user:u1",), "k1#1", '["ObjectCreated:Put","k1","t"]'),
    ]
