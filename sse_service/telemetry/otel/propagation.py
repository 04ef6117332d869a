"""The trace that a message belongs to, and the text in which it travels on with the event."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from consumers.envelope import Envelope

_W3C = TraceContextTextMapPropagator()
_XRAY_TRACE = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_XRAY_SPAN = re.compile(r"[0-9a-f]{16}")


def context_of(envelope: Envelope) -> Context:
    """Return the context of the message's producer. It is empty if the message names none.

    A ``traceparent`` comes from a message attribute, or else from the CloudEvents extension of this name. It goes
    before the ``AWSTraceHeader``, which AWS may have added on the way.
    """
    for found in (envelope.attributes, envelope.wrapper or {}):
        if (context := read_traceparent(found.get("traceparent"))) is not None:
            return context
    return _read_trace_header(envelope.trace or "") or Context()


def read_traceparent(text: object) -> Context | None:
    """Read a W3C ``traceparent``. Returns None for anything else: it may come from anyone who can send a message."""
    if not isinstance(text, str):
        return None
    context = _W3C.extract({"traceparent": text}, Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def write_traceparent(span: SpanContext) -> str | None:
    """Write a span as a ``traceparent``; None if its trace is not sampled, as nobody would use it."""
    if not span.trace_flags.sampled:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def _read_trace_header(text: str) -> Context | None:
    """Read X-Ray's trace header.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    fields = dict(part.strip().partition("=")[::2] for part in text.split(";"))
    root, parent = _XRAY_TRACE.fullmatch(fields.get("Root", "")), _XRAY_SPAN.fullmatch(fields.get("Parent", ""))
    if root is None or parent is None:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if fields.get("Sampled") == "1" else TraceFlags.DEFAULT)
    span = SpanContext(int(root[1] + root[2], 16), int(parent[0], 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(span), Context()) if span.is_valid else None
