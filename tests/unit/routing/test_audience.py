"""A message goes to the users and groups that it names, and to nobody else."""

import json
from typing import Any

import pytest

from consumers.errors import ConsumerReason
from sse_service.model.reasons import RejectionReason
from sse_service.routing.overrides import Overrides
from sse_service.routing.router import Router, Routing
from tests.unit.routing.messages import Number, channels, refused, routed, routing


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"user_id": "42"}, ("user:42",)),
        ({"userId": 42}, ("user:42",)),
        ({"user_id": ["a", "b", "a"]}, ("user:a", "user:b")),
        ({"group": ["ops", "dev"]}, ("group:ops", "group:dev")),
        ({"detail": {"user_id": "42"}}, ("user:42",)),
        ({"data": {"group": "ops"}}, ("group:ops",)),
        ({"user_id": "top", "detail": {"user_id": "inner"}}, ("user:top",)),
        ({"user_id": None, "detail": {"user_id": "inner"}}, ("user:inner",)),
    ],
)
def test_a_json_body_names_its_users_or_groups(body: Any, expected: tuple[str, ...]) -> None:
    assert channels(body) == [expected]


@pytest.mark.parametrize(
    "body",
    [
        {"user_id": "42", "group": "ops", "balance": 1},
        {"userId": "42", "group": ["ops"]},
        {"detail": {"user_id": "42", "group": "ops"}},
        {"user_id": "42", "data": {"group": "ops"}},
    ],
)
def test_a_group_beside_a_user_in_a_body_is_ignored(body: Any) -> None:
    assert channels(body) == [("user:42",)]


def test_attributes_may_name_a_user_and_a_group() -> None:
    assert channels("x", user_id="42", group="ops") == [("user:42", "group:ops")]


@pytest.mark.parametrize("body", [{}, {"user_id": ""}, {"user_id": [""]}, {"broadcast": True}, [1], "text", "3"])
def test_a_message_that_names_nobody_is_unrouted(body: Any) -> None:
    assert routing(body) == Routing(unrouted=1)


def test_the_body_is_ignored_if_attributes_name_anybody() -> None:
    assert channels({"user_id": "body"}, user_id="attribute") == [("user:attribute",)]
    assert channels({"user_id": "body"}, broadcast="true") == [("broadcast",)]
    assert channels({"user_id": "body"}, broadcast="false") == [("user:body",)]
    assert channels("text", group=["a", "b"]) == [("group:a", "group:b")]


@pytest.mark.parametrize("value", ["true", "True", "TRUE", " true\n"])
def test_broadcast_is_true_in_any_case_and_with_blanks_around_it(value: str) -> None:
    assert channels("x", broadcast=value) == [("broadcast",)]
    assert channels("x", broadcast=value, user_id="42") == [("user:42", "broadcast")]


@pytest.mark.parametrize("value", ["false", "False", " FALSE ", "", " "])
def test_broadcast_is_false_in_any_case_and_if_it_is_blank(value: str) -> None:
    assert channels("x", broadcast=value, user_id="42") == [("user:42",)]
    assert routing("x", broadcast=value) == Routing(unrouted=1)


@pytest.mark.parametrize("value", ["yes", "1", "tru e", ["true"]])
def test_another_value_of_broadcast_is_not_understood(value: Any) -> None:
    assert refused({"user_id": "42"}, broadcast=value) == RejectionReason.BROADCAST
    assert refused("x", broadcast=value, user_id="42") == RejectionReason.BROADCAST
    assert routing("x", broadcast=value).rejections[0].advice == "the attribute broadcast must be true or false"


def test_the_attribute_broadcast_is_not_checked_if_an_override_replaces_it() -> None:
    router = Router(overrides=Overrides(broadcast="`false`"))
    [route] = routed({"user_id": "42"}, router, broadcast="yes")
    assert route.channels == ("user:42",)
    assert routing("x", router, broadcast="true") == Routing(unrouted=1)


@pytest.mark.parametrize("value", [1.5, True, {"a": 1}, [[1]]])
def test_a_name_of_a_wrong_type_is_not_understood(value: Any) -> None:
    assert refused({"user_id": value}) == RejectionReason.NAMES


@pytest.mark.parametrize("name", ["user_id", "userId", "group"])
def test_a_number_attribute_is_a_name_only_if_it_is_an_integer(name: str) -> None:
    [(channel,)] = channels("x", None, **{name: Number("042")})
    assert channel.endswith(":042")
    for text in ("42.0", "4e1", "NaN"):
        assert refused("x", None, **{name: Number(text)}) == RejectionReason.NAMES


def test_other_number_attributes_may_be_fractions() -> None:
    [route] = routed("x", user_id="42", price=Number("9.90"), event_id=Number("1.50"))
    assert route.event.id == "1.50"
    shown = Router(overrides=Overrides(data="attributes.price"))
    assert routed("x", shown, user_id="42", price=Number("9.90"))[0].event.data == "9.90"


def test_a_message_may_have_at_most_a_hundred_names() -> None:
    assert len(channels({"user_id": list(range(100))})[0]) == 100
    assert refused({"user_id": list(range(101))}) == RejectionReason.NAMES
    assert refused("x", user_id=["42"] * 100, group="one more") == RejectionReason.NAMES


@pytest.mark.parametrize("value", [" 42", "42 ", "42\n", "\t42\r\n", "\u00a042", "42\u3000", " "])
def test_a_name_with_white_space_around_it_is_not_understood(value: str) -> None:
    # Trimmed, it could be the name of another user.
    assert refused("x", user_id=value) == RejectionReason.NAMES
    assert refused("x", user_id=[value]) == RejectionReason.NAMES
    assert refused("x", user_id=json.dumps([value])) == RejectionReason.NAMES
    assert refused("x", group=value) == RejectionReason.NAMES
    assert refused({"user_id": value}) == RejectionReason.NAMES
    assert refused({"data": {"group": ["ops", value]}}) == RejectionReason.NAMES


def test_a_blank_attribute_does_not_pass_the_message_to_the_user_in_the_body() -> None:
    assert refused({"user_id": "42"}, user_id=" ") == RejectionReason.NAMES


def test_the_advice_for_a_name_says_what_is_wrong() -> None:
    def advice(name: Any) -> str:
        return routing({"user_id": name}).rejections[0].advice

    assert advice(" 42") == "a user or group has white space around its name; send the name without it"
    assert advice(1.5) == "a user or group is neither a string nor an integer"
    assert advice(list(range(101))) == "the message names more than 100 users and groups"


def test_a_space_inside_a_name_is_kept() -> None:
    assert channels("x", group="Domain Users") == [("group:Domain Users",)]


@pytest.mark.parametrize("value", ['["42","43"]', ' [42, "43"]'])
def test_a_json_array_in_a_text_attribute_is_a_list(value: str) -> None:
    assert channels("x", user_id=value) == [("user:42", "user:43")]
    assert channels("x", group=value) == [("group:42", "group:43")]


def test_an_empty_json_array_in_an_attribute_names_nobody() -> None:
    assert channels({"user_id": "body"}, user_id="[]") == [("user:body",)]


def test_a_json_array_of_other_values_is_not_understood() -> None:
    assert refused("x", user_id="[1.5]") == RejectionReason.NAMES


def test_a_text_in_brackets_that_is_not_json_is_a_name() -> None:
    assert channels("x", user_id="[bot]") == [("user:[bot]",)]


def test_a_string_in_a_body_is_a_name_even_if_it_is_a_json_array() -> None:
    assert channels({"user_id": '["42"]'}) == [('user:["42"]',)]


def test_a_comma_is_part_of_a_name() -> None:
    assert channels("x", user_id="CN=ann,OU=staff") == [("user:CN=ann,OU=staff",)]


def test_the_attribute_user_id_may_be_spelled_userid() -> None:
    assert channels({"user_id": "body"}, userId="42") == [("user:42",)]
    assert channels("x", userId="42", user_id="43") == [("user:43", "user:42")]


@pytest.mark.parametrize("name", ["user_id", "userId", "group", "broadcast", "event_type", "subject", "event_id"])
def test_a_binary_value_in_an_attribute_that_the_service_reads_is_not_understood(name: str) -> None:
    assert refused({"user_id": "body"}, None, **{name: b"NDI="}) == ConsumerReason.ATTRIBUTE
    [rejection] = routing({"user_id": "body"}, None, **{name: b"NDI="}).rejections
    assert rejection.advice == f"the message attribute {name} is Binary; send it as a String"


def test_other_attributes_may_be_binary() -> None:
    assert channels("x", user_id="42", thumbnail=b"NDI=") == [("user:42",)]
