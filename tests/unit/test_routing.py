"""A message goes to whom it names, and to nobody else."""

import json
from typing import Any

import pytest

from consumers.envelope import unwrap
from sse_service.errors import NotUnderstood
from sse_service.events import Route
from sse_service.routing import Router


def routed(body: Any, router: Router | None = None, **attributes: Any) -> list[Route]:
    typed = {
        name: {"DataType": "String.Array", "StringValue": json.dumps(value)}
        if isinstance(value, list)
        else {"DataType": "String", "StringValue": value}
        for name, value in attributes.items()
    }
    text = body if isinstance(body, str) else json.dumps(body)
    return (router or Router()).route(unwrap(message_id="m", body=text, attributes=typed))


def channels(body: Any, **attributes: Any) -> list[tuple[str, ...]]:
    return [route.channels for route in routed(body, **attributes)]


def record(key: str) -> dict[str, Any]:
    return {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"object": {"key": key}}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"user_id": "42"}, ("user:42",)),
        ({"userId": 42}, ("user:42",)),
        ({"user_id": ["a", "b", "a"], "group": "ops"}, ("user:a", "user:b", "group:ops")),
        ({"detail": {"user_id": "42"}}, ("user:42",)),
        ({"data": {"group": "ops"}}, ("group:ops",)),
        ({"user_id": "top", "detail": {"user_id": "inner"}}, ("user:top",)),
        ({"user_id": None, "detail": {"user_id": "inner"}}, ("user:inner",)),
    ],
)
def test_a_json_body_names_its_users_and_groups(body: Any, expected: tuple[str, ...]) -> None:
    assert channels(body) == [expected]


@pytest.mark.parametrize("body", [{}, {"user_id": ""}, {"broadcast": True}, [1], "text", '{"user_id":"42"', "3"])
def test_what_names_nobody_goes_nowhere(body: Any) -> None:
    assert channels(body) == []


def test_attributes_that_name_anybody_keep_the_body_from_being_asked() -> None:
    assert channels({"user_id": "body"}, user_id="attribute") == [("user:attribute",)]
    assert channels({"user_id": "body"}, broadcast="true") == [("broadcast",)]
    assert channels({"user_id": "body"}, broadcast="false") == [("user:body",)]
    assert channels("text", group=["a", "b"]) == [("group:a", "group:b")]


def test_attributes_give_type_subject_and_id() -> None:
    event = routed("x", user_id="42", event_type="t", subject="job", event_id="e")[0].event
    assert (event.id, event.type, event.subject, event.data) == ("e", "t", "job", "x")


def test_a_body_never_chooses_its_own_event_id() -> None:
    assert routed({"user_id": "42", "id": "mine"})[0].event.id == "m"


@pytest.mark.parametrize("value", [1.5, True, {"a": 1}, [[1]]])
def test_a_name_of_another_kind_is_not_understood(value: Any) -> None:
    with pytest.raises(NotUnderstood):
        routed({"user_id": value})


def test_a_hundred_names_are_the_most() -> None:
    assert len(channels({"user_id": list(range(100))})[0]) == 100
    with pytest.raises(NotUnderstood):
        routed({"user_id": list(range(100)), "group": "one more"})


@pytest.mark.parametrize("name", ["event_type", "subject", "event_id"])
def test_a_control_character_in_a_field_is_not_understood(name: str) -> None:
    with pytest.raises(NotUnderstood):
        routed("x", user_id="42", **{name: "a\r\nid: 1"})


def test_nul_cut_out_of_a_wrapper_is_not_understood() -> None:
    event = {"specversion": "1.0", "id": "7", "source": "/a", "type": "t", "data": "a\0b"}
    with pytest.raises(NotUnderstood):
        routed(event, user_id="42")


def test_size_counts_the_encoded_data_lines() -> None:
    router = Router(max_event_bytes=len("data: xx\n"))
    assert routed("xx", router, user_id="42")
    with pytest.raises(NotUnderstood):
        routed("xxx", router, user_id="42")


def test_s3_gives_one_event_a_record_to_the_user_in_its_key() -> None:
    router = Router(s3_key_pattern="users/{user}/*")
    body = {"Records": [record("users/u%2B1/a+b%2Fc.pdf"), record("other/x"), record("users/u2/d")]}
    routes = routed(body, router)
    assert [(r.channels, r.event.id, r.event.subject) for r in routes] == [
        (("user:u+1",), "m#0", "users/u+1/a b/c.pdf"),
        (("user:u2",), "m#2", "users/u2/d"),
    ]
    assert routes[0].event.type == "ObjectCreated:Put"


def test_s3_without_a_pattern_names_nobody() -> None:
    assert channels({"Records": [record("users/u1/a")]}) == []


def test_the_s3_test_event_goes_nowhere_whatever_it_names() -> None:
    assert channels({"Service": "Amazon S3", "Event": "s3:TestEvent"}, user_id="42") == []


@pytest.mark.parametrize("s3", [{}, None, {"object": {"key": 1}}])
def test_a_broken_s3_record_is_not_understood(s3: Any) -> None:
    with pytest.raises(NotUnderstood):
        routed({"Records": [{"eventSource": "aws:s3", "s3": s3}]})


def test_other_records_are_a_plain_body() -> None:
    assert channels({"Records": [{"eventSource": "aws:sqs"}], "user_id": "42"}) == [("user:42",)]


@pytest.mark.parametrize("pattern", ["", "users/*", "{user}/{user}"])
def test_a_key_pattern_must_name_the_user_once(pattern: str) -> None:
    with pytest.raises(ValueError, match="exactly once"):
        Router(s3_key_pattern=pattern)
