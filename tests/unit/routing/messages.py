"""Builds messages as they come from a queue, and routes them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from consumers.envelope import unwrap
from sse_service.model.events import Route
from sse_service.routing.overrides import Overrides
from sse_service.routing.router import Router, Routing


class Number(NamedTuple):
    """The value of an attribute of type Number."""

    text: str


def routing(body: Any, router: Router | None = None, **attributes: Any) -> Routing:
    """Route a message. A list becomes a ``String.Array`` attribute, and bytes become a Binary attribute."""
    typed = {name: _attribute(value) for name, value in attributes.items()}
    text = body if isinstance(body, str) else json.dumps(body)
    return (router or Router()).route(unwrap(message_id="m", body=text, attributes=typed))


def routed(body: Any, router: Router | None = None, **attributes: Any) -> list[Route]:
    """Route a message, check that nothing is rejected, and return its Routes."""
    found = routing(body, router, **attributes)
    assert not found.rejections
    return list(found.routes)


def refused(body: Any, router: Router | None = None, **attributes: Any) -> str:
    """Route a message, check that all of it is rejected, and return the reason."""
    found = routing(body, router, **attributes)
    assert not found.routes
    [rejection] = found.rejections
    return rejection.reason


def overridden(body: Any, overrides: Overrides, **attributes: Any) -> Route:
    return routed(body, Router(overrides=overrides), **attributes)[0]


def channels(body: Any, router: Router | None = None, **attributes: Any) -> list[tuple[str, ...]]:
    return [route.channels for route in routed(body, router, **attributes)]


def s3_record(key: str) -> dict[str, Any]:
    return {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"object": {"key": key}}}


def _attribute(value: Any) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"DataType": "Binary", "BinaryValue": value.decode()}
    if isinstance(value, Number):
        return {"DataType": "Number", "StringValue": value.text}
    if isinstance(value, list):
        return {"DataType": "String.Array", "StringValue": json.dumps(value)}
    return {"DataType": "String", "StringValue": value}
