"""The spans of a message and its events: receive, publish to the broker, deliver to the streams.

Names and attributes follow OpenTelemetry's semantic conventions for messaging. No attribute contains data, a user or a
channel. https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from opentelemetry.trace import SpanKind, StatusCode

from consumers.base import Outcome
from sse_service.model.events import Route
from sse_service.telemetry.otel.propagation import context_of, read_traceparent, write_traceparent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from consumers.base import Handler
    from consumers.envelope import Envelope
    from sse_service.model.events import Event


class Store(Protocol):
    """Where events are published. A Broker is one."""

    async def publish(self, routes: Sequence[Route], /) -> None:
        """Store all events."""
        ...


class Entry(Protocol):
    """A stored event. The broker's ``Entry`` is one."""

    @property
    def event(self) -> Event:
        """The event."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that it was published to."""
        ...


E = TypeVar("E", bound=Entry)


class Tracing:
    """Wraps what an event passes on its way through a task, so that it makes spans."""

    def __init__(self, *, tracer: Tracer, queue_url: str, store: str) -> None:
        """``store`` is the kind of broker, such as ``valkey``."""
        self._tracer = tracer
        self._queue = queue_url.rpartition("/")[2]
        self._store = store

    def handler(self, handler: Handler) -> Handler:
        """Wrap a Handler: each message gets a span, whose parent is the producer's."""
        return _TracedHandler(handler, self._tracer, self._queue)

    def store(self, store: Store) -> Store:
        """Wrap a broker's ``publish``: each event of a sampled trace gets a span, and carries it through the broker."""
        return _TracedStore(store, self._tracer, self._store)

    def listener(
        self, deliver: Callable[[Sequence[E]], None], *, streams_of: Callable[[Sequence[str]], int]
    ) -> Callable[[Sequence[E]], None]:
        """Wrap a Listener: each event that carries a span and has streams here gets one span, whatever their number.

        ``streams_of`` counts the streams of some channels. The span ends when the event was handed to all of them.
        """
        attributes = _attributes(self._store, operation="deliver", kind="process")

        def listen(entries: Sequence[E]) -> None:
            sampled = [(e.event.trace, streams_of(e.channels)) for e in entries if e.event.trace is not None]
            began = time.time_ns()
            deliver(entries)
            ended = time.time_ns()
            for trace, streams in sampled:
                # Anyone who may publish to the broker's store may have written the text.
                if streams and (parent := read_traceparent(trace)) is not None:
                    self._tracer.start_span(
                        "deliver",
                        context=parent,
                        kind=SpanKind.CONSUMER,
                        attributes={**attributes, "sse.streams": streams},
                        start_time=began,
                    ).end(ended)

        return listen


class _TracedHandler:
    def __init__(self, handler: Handler, tracer: Tracer, queue: str) -> None:
        self._handler = handler
        self._tracer = tracer
        self._name = f"receive {queue}"
        # A receive has as many parents as messages. So each message gets a span of its own, which the conventions
        # call processing.
        self._attributes = {
            **_attributes("aws_sqs", operation="receive", kind="process"),
            "messaging.destination.name": queue,
        }

    async def __call__(self, envelopes: Sequence[Envelope], /) -> Sequence[Outcome]:
        spans = [self._start(envelope, len(envelopes)) for envelope in envelopes]
        pairs = zip(envelopes, spans, strict=True)
        try:
            outcomes = await self._handler(
                [envelope._replace(trace=write_traceparent(span.get_span_context())) for envelope, span in pairs]
            )
            for span, outcome in zip(spans, outcomes, strict=True):
                if outcome is not Outcome.DONE:
                    _fail(span, outcome.value)
        finally:
            _end(spans)
        return outcomes

    def _start(self, envelope: Envelope, messages: int) -> Span:
        attributes: dict[str, str | int] = {
            **self._attributes,
            "messaging.message.id": envelope.message_id,
            "messaging.batch.message_count": messages,
        }
        return self._tracer.start_span(
            self._name, context=context_of(envelope), kind=SpanKind.CONSUMER, attributes=attributes
        )


class _TracedStore:
    def __init__(self, store: Store, tracer: Tracer, system: str) -> None:
        self._store = store
        self._tracer = tracer
        self._attributes = _attributes(system, operation="publish", kind="send")

    async def publish(self, routes: Sequence[Route], /) -> None:
        spans: list[Span] = []
        carrying = []
        for route in routes:
            parent = read_traceparent(route.event.trace)
            carrying.append(route if parent is None else self._start(route, parent, spans))
        try:
            await self._store.publish(carrying)
        except Exception as error:
            for span in spans:
                _fail(span, type(error).__name__)
            raise
        finally:
            _end(spans)

    def _start(self, route: Route, parent: Context, spans: list[Span]) -> Route:
        """Start a span, add it to ``spans``, and return the route with an event that carries it."""
        attributes: dict[str, str | int] = {**self._attributes, "sse.channels": len(route.channels)}
        span = self._tracer.start_span("publish", context=parent, kind=SpanKind.PRODUCER, attributes=attributes)
        spans.append(span)
        return Route(replace(route.event, trace=write_traceparent(span.get_span_context())), route.channels)


def _attributes(system: str, *, operation: str, kind: str) -> dict[str, str]:
    return {
        "messaging.system": system,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _end(spans: Sequence[Span]) -> None:
    for span in spans:
        span.end()
