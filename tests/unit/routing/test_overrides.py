"""Overrides are checked at start and replace only their own fields. If one fails, its message is not understood."""

from typing import Any

import pytest

from consumers.errors import NotUnderstood
from sse_service.routing.overrides import Evaluator, Overrides, compiled
from sse_service.routing.router import Router, Routing
from tests.unit.routing.messages import overridden, refused, routing


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("body[", "must be JMESPath"),
        ("`x", "must be JMESPath"),
        ("split(body, '/')", "not split"),
        ("body.a || [join(',', map(&nope(@), body))]", "not nope"),
    ],
)
def test_an_invalid_expression_is_refused_with_one_line(expression: str, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        compiled(expression)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=text):
        Evaluator(Overrides(user=expression))


def test_only_fields_with_an_expression_are_overridden() -> None:
    assert Evaluator(Overrides(user="body.a")).values({"body": {"a": 7}}) == {"user": 7}
    assert not Evaluator(Overrides())


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("length(body)", 7),
        ("ceil(to_number(body))", "inf"),
        ("to_string(body)", deep(50_000)),
    ],
)
def test_a_message_for_which_a_function_raises_is_not_understood(expression: str, body: Any) -> None:
    with pytest.raises(NotUnderstood) as caught:
        Evaluator(Overrides(data=expression)).values({"body": body})
    assert caught.value.reason == "override"


def test_an_overridden_field_has_no_fallback() -> None:
    body = {"user_id": "default", "owner": {"id": 7}}
    assert overridden(body, Overrides(user="body.owner.id")).channels == ("user:7",)
    assert overridden(body, Overrides(user="body.owner.id"), user_id="attribute").channels == ("user:7",)
    assert routing({"user_id": "default"}, Router(overrides=Overrides(user="body.owner.id"))) == Routing(unrouted=1)


def test_an_override_that_gives_a_name_with_white_space_around_it_is_not_understood() -> None:
    assert refused({"n": " 42"}, Router(overrides=Overrides(user="body.n"))) == "names"


def test_an_override_leaves_the_other_fields_unchanged() -> None:
    assert overridden({"user_id": "42", "n": 7}, Overrides(group="body.n")).channels == ("user:42", "group:7")
    both = overridden("x", Overrides(user="attributes.user_id"), user_id="42", group="ops")
    assert both.channels == ("user:42", "group:ops")
    assert overridden({"group": "ops"}, Overrides(user="body.none")).channels == ("group:ops",)
    same = overridden({"group": "ops"}, Overrides(user="attributes.user_id"), user_id="42")
    assert same.channels == ("user:42",)


def test_the_original_value_of_an_overridden_field_is_never_checked() -> None:
    route = overridden(
        {"user_id": {"id": "42"}},
        Overrides(user="body.user_id.id", type="attributes.event_type[0]", id="attributes.event_id[0]"),
        event_type=["t"],
        event_id=["e"],
    )
    assert (route.channels, route.event.type, route.event.id) == (("user:42",), "t", "e")


def test_overrides_see_the_fields_of_the_wrapper() -> None:
    event = {"specversion": "1.0", "id": "7", "source": "/a", "type": "t", "subject": "s", "time": "x", "data": {}}
    asked = Overrides(user="`42`", data="[source, id, type, subject, time]")
    assert overridden(event, asked).event.data == '["/a","/a 7","t","s","x"]'


@pytest.mark.parametrize(
    ("value", "everyone"), [(True, True), ("true", True), (" True", True), (False, False), ("x", False), (None, False)]
)
def test_an_override_broadcasts_by_true_or_the_string_true(value: Any, everyone: bool) -> None:
    found = overridden({"user_id": "42", "all": value}, Overrides(broadcast="body.all"))
    assert found.channels == (("user:42", "broadcast") if everyone else ("user:42",))


def test_an_override_can_make_any_value_the_data() -> None:
    body = {"user_id": "42", "text": "as it is", "object": {"a": [1, None]}}
    shown = [overridden(body, Overrides(data=f"body.{name}")).event.data for name in ("text", "object", "none")]
    assert shown == ["as it is", '{"a":[1,null]}', ""]


def test_an_override_may_remove_type_and_subject() -> None:
    event = overridden({"user_id": "42"}, Overrides(type="body.t", subject="body.s"), event_type="t", subject="s").event
    assert (event.type, event.subject) == (None, None)


def test_an_overridden_id_is_a_string_or_an_integer() -> None:
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
def test_an_override_result_of_a_wrong_type_is_not_understood(overrides: Overrides, value: Any, reason: str) -> None:
    assert refused({"user_id": "42", "x": value}, Router(overrides=overrides)) == reason


def test_the_group_in_a_body_is_ignored_if_an_override_names_a_user() -> None:
    assert overridden({"owner": 7, "group": "ops"}, Overrides(user="body.owner")).channels == ("user:7",)


EVENTBRIDGE = {
    "version": "0",
    "id": "e-1",
    "detail-type": "Job done",
    "source": "my.jobs",
    "account": "123456789012",
    "region": "eu-west-1",
    "resources": ["arn:aws:states:eu-west-1:123456789012:execution:m:user-42"],
    "detail": {},
}
CLOUDEVENT = {"specversion": "1.0", "id": "7", "source": "/a", "type": "t", "tenantuser": "42"}


def test_overrides_can_read_all_fields_of_an_eventbridge_event() -> None:
    asked = Overrides(user="wrapper.resources[0]", data="wrapper.[account, region]")
    route = overridden(EVENTBRIDGE, asked)
    assert route.channels == ("user:arn:aws:states:eu-west-1:123456789012:execution:m:user-42",)
    assert route.event.data == '["123456789012","eu-west-1"]'


def test_overrides_can_read_extension_attributes_of_a_cloudevent() -> None:
    assert overridden(CLOUDEVENT, Overrides(user="wrapper.tenantuser")).channels == ("user:42",)


def test_without_a_wrapper_overrides_see_null_as_the_wrapper() -> None:
    found = overridden({"user_id": "42"}, Overrides(data="wrapper"))
    assert found.event.data == ""
