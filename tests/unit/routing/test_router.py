"""An event's type, subject, id and data come from attributes, wrapper and body."""

import pytest

from consumers.errors import ConsumerReason
from sse_service.model.reasons import RejectionReason
from sse_service.routing.overrides import Overrides
from sse_service.routing.router import Router
from tests.unit.routing.messages import refused, routed


def test_attributes_give_type_subject_and_id() -> None:
    event = routed("x", user_id="42", event_type="t", subject="job", event_id="e")[0].event
    assert (event.id, event.type, event.subject, event.data) == ("e", "t", "job", "x")


def test_blanks_around_the_type_are_dropped_because_a_filter_drops_them_too() -> None:
    assert routed("x", user_id="42", event_type=" a b ")[0].event.type == "a b"
    assert routed("x", user_id="42", event_type=" ")[0].event.type is None
    event = {"specversion": "1.0", "id": "7", "source": "/a", "type": " t", "data": {"user_id": "42"}}
    assert routed(event)[0].event.type == "t"
    assert routed(event, Router(overrides=Overrides(type="' o '")))[0].event.type == "o"


def test_a_body_never_chooses_its_own_event_id() -> None:
    assert routed({"user_id": "42", "id": "mine"})[0].event.id == "m"


@pytest.mark.parametrize(("name", "reason"), [("event_type", "type"), ("subject", "subject"), ("event_id", "id")])
def test_a_control_character_in_a_field_is_not_understood(name: str, reason: str) -> None:
    assert refused("x", None, user_id="42", **{name: "a\r\nid: 1"}) == reason


@pytest.mark.parametrize(("name", "reason"), [("user_id", "encoding"), ("event_type", "type"), ("event_id", "id")])
def test_a_lone_surrogate_in_an_attribute_is_not_understood(name: str, reason: str) -> None:
    assert refused("x", None, group="ops", **{name: "a\ud83d"}) == reason


@pytest.mark.parametrize("data", [{"data": "a\0b"}, {"data_base64": "AA=="}])
def test_nul_in_the_data_of_a_wrapper_is_not_understood(data: dict[str, str]) -> None:
    event = {"specversion": "1.0", "id": "7", "source": "/a", "type": "t", **data}
    assert refused(event, user_id="42") == ConsumerReason.NUL


def test_size_counts_the_encoded_data_lines() -> None:
    router = Router(max_event_bytes=len("data: xx\n"))
    assert routed("xx", router, user_id="42")
    assert refused("xxx", router, user_id="42") == RejectionReason.SIZE


def test_the_user_may_be_named_in_base64_data() -> None:
    event = {"specversion": "1.0", "id": "7", "source": "/a", "type": "t", "data_base64": "eyJ1c2VyX2lkIjogIjQyIn0="}
    [route] = routed(event)
    assert route.channels == ("user:42",)
    assert route.event.data == '{"user_id": "42"}'
