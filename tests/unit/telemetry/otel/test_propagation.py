"""Whose trace a message belongs to. Anyone who can send a message chooses these texts."""

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, TraceFlags

from consumers.envelope import Envelope
from sse_service.telemetry.otel.propagation import context_of, read_traceparent, write_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
XRAY_TRACE = f"1-{TRACE[:8]}-{TRACE[8:]}"


def envelope(**fields: Any) -> Envelope:
    return Envelope(**{"message_id": "m", "event_id": "e", "body": {}, "text": "{}", "attributes": {}} | fields)


def span_of(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


def named(context: Context) -> tuple[str, str, bool]:
    """The trace, the span, and whether it is sampled."""
    span = span_of(context)
    return f"{span.trace_id:032x}", f"{span.span_id:016x}", span.trace_flags.sampled


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("03", True)])
def test_a_traceparent_is_read(flags: str, sampled: bool) -> None:
    context = context_of(envelope(attributes={"traceparent": f"00-{TRACE}-{SPAN}-{flags}"}))
    assert named(context) == (TRACE, SPAN, sampled)
    assert span_of(context).is_remote


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"Root={XRAY_TRACE};Parent={SPAN};Sampled=1", True),
        (f"Root={XRAY_TRACE};Parent={SPAN};Sampled=0", False),
        (f"Root={XRAY_TRACE};Parent={SPAN};Sampled=?", False),
        (f"Root={XRAY_TRACE};Parent={SPAN}", False),
        (f"Sampled=1; Parent={SPAN}; Root={XRAY_TRACE};Lineage=a87bd80c:1|68fd508a:5;Self=", True),
    ],
)
def test_a_trace_header_of_x_ray_is_read(header: str, sampled: bool) -> None:
    assert named(context_of(envelope(trace=header))) == (TRACE, SPAN, sampled)


def test_the_message_attribute_goes_before_the_cloudevent_and_that_before_awss_header() -> None:
    attribute, extension = (f"00-{digit * 32}-{SPAN}-01" for digit in "12")
    header = f"Root={XRAY_TRACE};Parent={SPAN};Sampled=1"
    everywhere = envelope(attributes={"traceparent": attribute}, wrapper={"traceparent": extension}, trace=header)
    assert named(context_of(everywhere))[0] == "1" * 32
    assert named(context_of(everywhere._replace(attributes={"traceparent": "broken"})))[0] == "2" * 32
    assert named(context_of(everywhere._replace(attributes={}, wrapper={})))[0] == TRACE


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "00", f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE.upper()}-{SPAN}-01"),
        *(f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-01-more", "é" * 55),
        *(None, 7, b"00", ["x"], {"a": 1}),
    ],
)
def test_anything_else_is_no_traceparent(text: object) -> None:
    assert read_traceparent(text) is None
    assert not span_of(context_of(envelope(attributes={"traceparent": text}))).is_valid


@pytest.mark.parametrize(
    "header",
    [
        *("", ";", "=", "Root", f"Root={XRAY_TRACE}", f"Parent={SPAN};Sampled=1", f"Root={TRACE};Parent={SPAN}"),
        *(f"Root=1-{'0' * 8}-{'0' * 24};Parent={SPAN};Sampled=1", f"Root={XRAY_TRACE};Parent={'0' * 16};Sampled=1"),
        *(f"Root=2{XRAY_TRACE[1:]};Parent={SPAN}", f"Root={XRAY_TRACE};Parent={SPAN}0;Sampled=1"),
    ],
)
def test_anything_else_is_no_trace_header(header: str) -> None:
    assert not span_of(context_of(envelope(trace=header))).is_valid


def test_a_span_is_written_as_it_was_read() -> None:
    text = f"00-{TRACE}-{SPAN}-01"
    context = read_traceparent(text)
    assert context is not None
    assert write_traceparent(span_of(context)) == text


def test_a_span_that_is_not_sampled_is_not_written() -> None:
    assert write_traceparent(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(0))) is None
