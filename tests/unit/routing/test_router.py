"""A message goes to whom it names, and to nobody else."""

import json
from typing import Any

import pytest

from consumers.envelope import unwrap
from consumers.errors import ConsumerReason
from sse_service.model.events import Route
from sse_service.model.reasons import RejectionReason
from sse_service.routing.overrides import Overrides
from sse_service.routing.router import Router, Routing


def routing(body: Any, router: Router | None = None, **attributes: Any) -> Routing:
    typed = {
        name: {"DataType": "String.Array", "StringValue": json.dumps(value)}
        if isinstance(value, list)
        else {"DataType": "String", "StringValue": value}
        for name, value in attributes.items()
    }
    text = body if isinstance(body, str) else json.dumps(body)
    return (router or Router()).route(unwrap(message_id="m", body=text, attributes=typed))


def routed(body: Any, router: Router | None = None, **attributes: Any) -> list[Route]:
    """The Routes of a message in which everything is understood."""
    found = routing(body, router, **attributes)
    assert not found.rejections
    return list(found.routes)


def refused(body: Any, router: Router | None = None, **attributes: Any) -> str:
    """The reason for which nothing in a message is understood."""
    found = routing(body, router, **attributes)
    assert not found.routes
    [rejection] = found.rejections
    return rejection.reason


def overridden(body: Any, overrides: Overrides, **attributes: Any) -> Route:
    return routed(body, Router(overrides=overrides), **attributes)[0]


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
def test_what_names_nobody_goes_nowhere_and_is_counted(body: Any) -> None:
    assert routing(body) == Routing(unrouted=1)


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
    assert refused({"user_id": value}) == RejectionReason.NAMES


def test_a_hundred_names_are_the_most() -> None:
    assert len(channels({"user_id": list(range(100))})[0]) == 100
    assert refused({"user_id": list(range(101))}) == RejectionReason.NAMES
    assert refused("x", user_id=[*"0123456789"] * 10, group="one more") == RejectionReason.NAMES


@pytest.mark.parametrize(("name", "reason"), [("event_type", "type"), ("subject", "subject"), ("event_id", "id")])
def test_a_control_character_in_a_field_is_not_understood(name: str, reason: str) -> None:
    assert refused("x", None, user_id="42", **{name: "a\r\nid: 1"}) == reason


def test_nul_cut_out_of_a_wrapper_is_not_understood() -> None:
    event = {"specversion": "1.0", "id": "7", "source": "/a", "type": "t", "data": "a\0b"}
    assert refused(event, user_id="42") == ConsumerReason.NUL


def test_size_counts_the_encoded_data_lines() -> None:
    router = Router(max_event_bytes=len("data: xx\n"))
    assert routed("xx", router, user_id="42")
    assert refused("xxx", router, user_id="42") == RejectionReason.SIZE


def test_s3_gives_one_event_a_record_to_the_user_in_its_key() -> None:
    router = Router(s3_key_pattern="users/{user}/*")
    body = {"Records": [record("users/u%2B1/a+b%2Fc.pdf"), record("other/x"), record("users/u2/d")]}
    routes = routed(body, router)
    assert [(r.channels, r.event.id, r.event.subject) for r in routes] == [
        (("user:u+1",), "m#0", "users/u+1/a b/c.pdf"),
        (("user:u2",), "m#2", "users/u2/d"),
    ]
    assert routes[0].event.type == "ObjectCreated:Put"
    assert routing(body, router).unrouted == 1


def test_s3_without_a_pattern_names_nobody() -> None:
    assert channels({"Records": [record("users/u1/a")]}) == []


def test_the_s3_test_event_holds_no_event_whatever_it_names() -> None:
    assert routing({"Service": "Amazon S3", "Event": "s3:TestEvent"}, user_id="42") == Routing()


@pytest.mark.parametrize("s3", [{}, None, {"object": {"key": 1}}])
def test_a_broken_s3_record_is_not_understood(s3: Any) -> None:
    assert refused({"Records": [{"eventSource": "aws:s3", "s3": s3}]}) == RejectionReason.S3


def test_other_records_are_a_plain_body() -> None:
    assert channels({"Records": [{"eventSource": "aws:sqs"}], "user_id": "42"}) == [("user:42",)]


@pytest.mark.parametrize("pattern", ["", "users/*", "{user}/{user}"])
def test_a_key_pattern_must_name_the_user_once(pattern: str) -> None:
    with pytest.raises(ValueError, match="exactly once"):
        Router(s3_key_pattern=pattern)


def test_a_record_too_deep_to_be_written_is_not_understood() -> None:
    text = json.dumps({"Records": [record("k")]}).replace('"s3"', '"deep": ' + "[" * 300 + "]" * 300 + ', "s3"')
    assert refused(text, user_id="42") == ConsumerReason.DATA


@pytest.mark.parametrize(("name", "reason"), [("user_id", "encoding"), ("event_type", "type"), ("event_id", "id")])
def test_a_lone_surrogate_in_an_attribute_is_not_understood(name: str, reason: str) -> None:
    assert refused("x", None, group="ops", **{name: "a\ud83d"}) == reason


def test_an_override_alone_decides_its_field_without_fallback() -> None:
    body = {"user_id": "default", "owner": {"id": 7}}
    assert overridden(body, Overrides(user="body.owner.id")).channels == ("user:7",)
    assert overridden(body, Overrides(user="body.owner.id"), user_id="attribute").channels == ("user:7",)
    assert routing({"user_id": "default"}, Router(overrides=Overrides(user="body.owner.id"))) == Routing(unrouted=1)


def test_an_override_leaves_the_other_fields_as_they_were() -> None:
    both = {"user_id": "42", "group": "ops"}
    assert overridden(both, Overrides(user="body.user_id")).channels == ("user:42", "group:ops")
    assert overridden(both, Overrides(group="`[]`")).channels == ("user:42",)
    same = overridden({"group": "ops"}, Overrides(user="attributes.user_id"), user_id="42")
    assert same.channels == ("user:42",)


def test_what_an_overridden_field_would_have_been_is_never_read() -> None:
    route = overridden(
        {"user_id": {"id": "42"}},
        Overrides(user="body.user_id.id", type="attributes.event_type[0]", id="attributes.event_id[0]"),
        event_type=["t"],
        event_id=["e"],
    )
    assert (route.channels, route.event.type, route.event.id) == (("user:42",), "t", "e")


def test_overrides_see_the_wrapper_too() -> None:
    event = {"specversion": "1.0", "id": "7", "source": "/a", "type": "t", "subject": "s", "time": "x", "data": {}}
    asked = Overrides(user="`42`", data="[source, id, type, subject, time]")
    assert overridden(event, asked).event.data == '["/a","/a 7","t","s","x"]'


@pytest.mark.parametrize(
    ("value", "everyone"), [(True, True), ("true", True), (False, False), ("x", False), (None, False)]
)
def test_broadcast_by_an_override_is_true_or_the_word(value: Any, everyone: bool) -> None:
    found = overridden({"user_id": "42", "all": value}, Overrides(broadcast="body.all"))
    assert found.channels == (("user:42", "broadcast") if everyone else ("user:42",))


def test_data_by_an_override_is_its_value() -> None:
    body = {"user_id": "42", "text": "as it is", "object": {"a": [1, None]}}
    shown = [overridden(body, Overrides(data=f"body.{name}")).event.data for name in ("text", "object", "none")]
    assert shown == ["as it is", '{"a":[1,null]}', ""]


def test_type_and_subject_by_an_override_may_be_none() -> None:
    event = overridden({"user_id": "42"}, Overrides(type="body.t", subject="body.s"), event_type="t", subject="s").event
    assert (event.type, event.subject) == (None, None)


def test_an_id_by_an_override_is_a_string_or_an_integer() -> None:
    ids = [overridden({"user_id": "42", "id": value}, Overrides(id="body.id")).event.id for value in ("e", 7)]
    assert ids == ["e", "7"]


@pytest.mark.parametrize(
    ("overrides", "value", "reason"),
    [
        (Overrides(user="body.x"), 1.5, "names"),
        (Overrides(group="body.x"), {"a": 1}, "names"),
        (Overrides(broadcast="body.x"), 1, "broadcast"),
        (Overrides(type="body.x"), 1, "type"),
        (Overrides(subject="body.x"), ["a"], "subject"),
        (Overrides(subject="body.x"), "a\nb", "subject"),
        (Overrides(id="body.x"), None, "id"),
        (Overrides(id="body.x"), True, "id"),
        (Overrides(id="body.x"), "", "id"),
        (Overrides(data="to_number(body.x)"), "123456789012345678901", "data"),
        (Overrides(data="body.x"), "a\0b", "nul"),
        (Overrides(data='`"\\ud83d"`'), None, "encoding"),
        (Overrides(data="&body"), None, "data"),
        (Overrides(user="sum(body.x)"), "x", "override"),
    ],
)
def test_a_result_of_another_type_is_not_understood(overrides: Overrides, value: Any, reason: str) -> None:
    assert refused({"user_id": "42", "x": value}, Router(overrides=overrides)) == reason


def test_overrides_are_asked_for_each_s3_record() -> None:
    records = [{**record(f"k{n}"), "userIdentity": {"principalId": f"u{n}"}, "eventTime": "t"} for n in range(2)]
    overrides = Overrides(user="body.userIdentity.principalId", data="[type, subject, time]", id="body.s3.object.key")
    routes = routed({"Records": records}, Router(overrides=overrides, s3_key_pattern="{user}"))
    assert [(r.channels, r.event.id, r.event.data) for r in routes] == [
        (("user:u0",), "k0#0", '["ObjectCreated:Put","k0","t"]'),
        (("user:u1",), "k1#1", '["ObjectCreated:Put","k1","t"]'),
    ]
