"""The spans of a message that goes wrong, and of traces that nobody samples."""

import asyncio
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from consumers.base import Outcome
from consumers.envelope import Envelope
from sse_service.brokers.base import Entry
from sse_service.model.cursor import Cursor
from sse_service.model.errors import Unavailable
from sse_service.model.events import Event, Route
from sse_service.telemetry.otel.spans import Tracing

TRACE = f"00-{'1' * 32}-{'2' * 16}-01"
UNSAMPLED = f"00-{'1' * 32}-{'2' * 16}-00"


class Recorded:
    """A Tracing whose spans are kept."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(
            tracer=provider.get_tracer("test"),
            queue_url="https://sqs.eu-west-1.amazonaws.com/000000000000/events",
            store="valkey",
        )

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def envelope(trace: str | None = TRACE) -> Envelope:
    return Envelope("m", "e", "x", "x", {} if trace is None else {"traceparent": trace})


def route(trace: str | None = TRACE) -> Route:
    return Route(Event("e", "x", trace=trace), ("user:1",))


def entry(trace: str | None = TRACE, *channels: str) -> Entry:
    return Entry(Cursor("0", 1), Event("e", "x", trace=trace), channels or ("user:1",))


def test_each_outcome_but_done_is_an_error_of_its_span(recorded: Recorded) -> None:
    async def handle(envelopes: Sequence[Envelope]) -> list[Outcome]:
        return list(Outcome)

    handler = recorded.tracing.handler(handle)
    assert asyncio.run(handler([envelope()] * 3)) == list(Outcome)  # type: ignore[arg-type]  # a coroutine
    assert [(span.status.status_code, (span.attributes or {}).get("error.type")) for span in recorded.spans] == [
        (StatusCode.UNSET, None),
        (StatusCode.ERROR, "not_understood"),
        (StatusCode.ERROR, "not_now"),
    ]


def test_a_cancelled_handler_leaves_no_span_open(recorded: Recorded) -> None:
    async def handle(envelopes: Sequence[Envelope]) -> list[Outcome]:
        raise asyncio.CancelledError

    async def test() -> None:
        with pytest.raises(asyncio.CancelledError):
            await recorded.tracing.handler(handle)([envelope()])

    asyncio.run(test())
    assert [span.name for span in recorded.spans] == ["receive events"]


def test_the_handler_gets_the_new_span_in_place_of_awss_header_and_nothing_for_an_unsampled_trace(
    recorded: Recorded,
) -> None:
    given: list[Envelope] = []

    async def handle(envelopes: Sequence[Envelope]) -> list[Outcome]:
        given.extend(envelopes)
        return [Outcome.DONE] * len(envelopes)

    header = f"Root=1-{'1' * 8}-{'1' * 24};Parent={'2' * 16};Sampled="
    named = [envelope(None)._replace(trace=header + flag) for flag in "10"]

    async def test() -> None:
        await recorded.tracing.handler(handle)(named)

    asyncio.run(test())
    [span] = recorded.spans
    assert span.context is not None
    assert [each.trace for each in given] == [f"00-{'1' * 32}-{span.context.span_id:016x}-01", None]


def test_events_are_published_in_order_each_with_its_own_span(recorded: Recorded) -> None:
    published: list[Route] = []

    class Store:
        async def publish(self, routes: Sequence[Route]) -> None:
            published.extend(routes)

    routes = [route(), route(None), route()]
    asyncio.run(recorded.tracing.store(Store()).publish(routes))
    ids = [f"{span.context.span_id:016x}" for span in recorded.spans if span.context is not None]
    assert published == routes
    assert [each.event.trace for each in published] == [
        f"00-{'1' * 32}-{ids[0]}-01",
        None,
        f"00-{'1' * 32}-{ids[1]}-01",
    ]


def test_a_store_that_is_away_is_an_error_of_the_span(recorded: Recorded) -> None:
    class Away:
        async def publish(self, routes: Sequence[Route]) -> None:
            raise Unavailable("away")

    with pytest.raises(Unavailable):
        asyncio.run(recorded.tracing.store(Away()).publish([route()]))
    [span] = recorded.spans
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "Unavailable"


def test_an_event_has_one_span_for_all_its_streams_and_none_without_a_sampled_trace(recorded: Recorded) -> None:
    delivered: list[Entry] = []
    counts = {("user:1",): 3, ("user:2",): 0}
    listener = recorded.tracing.listener(delivered.extend, streams_of=lambda channels: counts[tuple(channels)])
    entries = [entry(), entry(TRACE, "user:2"), entry(None), entry(UNSAMPLED), entry("not a trace"), entry("é" * 9)]
    listener(entries)
    listener([entry(None)])
    assert delivered == [*entries, entry(None)]
    [span] = recorded.spans
    assert (span.attributes or {})["sse.streams"] == 3
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "2" * 16
