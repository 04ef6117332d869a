"""Spans and metrics that a service sends to an OpenTelemetry collector."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sse_service.dev.emulator import Emulator
from sse_service.dev.moto_server import MotoServer
from tests.integration.chain import Chain, environment, queue_stub, serve, wait_until_ready
from tests.integration.emulated import create_resources
from tests.integration.otlp_receiver import Collector, Metric, collector
from tests.integration.process import Process
from tests.integration.valkey import Valkey
from tests.ports import free_port


def reporting(url: str, **variables: str) -> dict[str, str]:
    """The environment of a service that reports to a collector soon."""
    return {
        "SSE_OTEL": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "NO_PROXY": "127.0.0.1",
        **variables,
    }


@contextmanager
def task(env: dict[str, str]) -> Iterator[Chain]:
    with serve("", env) as chain:
        wait_until_ready(chain)
        yield chain


class Producer:
    """Publishes to the emulator's topic in a trace of its own."""

    def __init__(self, aws: Emulator) -> None:
        self._aws = aws

    def publish(self, message: str, user: str, *, sampled: bool = True) -> tuple[str, str]:
        """Publish, and return the ids of the trace and of the publishing span."""
        trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
        traceparent = f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"
        values = {"user_id": user, "traceparent": traceparent}

        async def send() -> None:
            async with self._aws.client("sns") as sns:
                await sns.publish(
                    TopicArn=self._aws.topic_arn,
                    Message=message,
                    MessageAttributes={n: {"DataType": "String", "StringValue": v} for n, v in values.items()},
                )

        asyncio.run(send())
        return trace_id, span_id


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    server = MotoServer()
    try:
        yield asyncio.run(create_resources(Emulator(endpoint_url=server.url), visibility_seconds=30))
    finally:
        server.stop()


@pytest.fixture(scope="module")
def collected() -> Iterator[tuple[Collector, str]]:
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def chain(aws: Emulator, collected: tuple[Collector, str]) -> Iterator[Chain]:
    env = environment(aws.endpoint_url, queue_url=aws.queue_url) | reporting(
        collected[1], OTEL_SERVICE_NAME="push", OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test"
    )
    with task(env) as running:
        yield running


@pytest.fixture(scope="module")
def stub() -> Iterator[str]:
    with queue_stub() as url:
        yield url


@pytest.fixture(scope="module")
def stubbed(stub: str, collected: tuple[Collector, str]) -> Iterator[Chain]:
    """A service that reads the stub of SQS, which takes whatever a test puts into a message."""
    with serve(stub, environment(stub) | reporting(collected[1], OTEL_EXPORTER_OTLP_COMPRESSION="gzip")) as running:
        wait_until_ready(running)
        yield running


def test_the_trace_of_a_published_message_goes_on_to_the_stream(
    aws: Emulator, chain: Chain, collected: tuple[Collector, str]
) -> None:
    with chain.stream("ann") as one, chain.stream("ann") as other:
        trace_id, producer = Producer(aws).publish("hello", "ann")
        one.wait_for("hello")
        other.wait_for("hello")
        receive, publish, deliver = collected[0].trace(trace_id, "receive", "publish", "deliver")
    assert [receive.parent_id, publish.parent_id, deliver.parent_id] == [producer, receive.span_id, publish.span_id]
    assert [receive.kind, publish.kind, deliver.kind] == ["CONSUMER", "PRODUCER", "CONSUMER"]
    queue = aws.queue_url.rpartition("/")[2]
    assert receive.name == f"receive {queue}"
    message = receive.attributes.pop("messaging.message.id")
    assert f"message {message} received" in chain.process.output
    assert receive.attributes == {
        "messaging.system": "aws_sqs",
        "messaging.operation.name": "receive",
        "messaging.operation.type": "process",
        "messaging.destination.name": queue,
        "messaging.batch.message_count": 1,
    }
    assert publish.attributes == {
        "messaging.system": "memory",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "sse.channels": 1,
    }
    assert deliver.attributes == {
        "messaging.system": "memory",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "sse.streams": 2,
    }
    assert receive.resource["service.name"] == "push"
    assert receive.resource["deployment.environment.name"] == "test"
    assert receive.resource["service.instance.id"]


def test_an_event_that_no_stream_is_open_for_is_published_and_not_delivered(
    aws: Emulator, chain: Chain, collected: tuple[Collector, str]
) -> None:
    trace_id, _ = Producer(aws).publish("unheard", "nobody")
    collected[0].trace(trace_id, "publish")
    with chain.stream("ann") as stream:
        later, _ = Producer(aws).publish("heard", "ann")
        stream.wait_for("heard")
        collected[0].trace(later, "deliver")
    assert {span.name.split()[0] for span in collected[0].spans if span.trace_id == trace_id} == {"receive", "publish"}


def test_a_trace_that_its_producer_does_not_sample_has_no_spans(
    aws: Emulator, chain: Chain, collected: tuple[Collector, str]
) -> None:
    with chain.stream("ann") as stream:
        unsampled, _ = Producer(aws).publish("unsampled", "ann", sampled=False)
        stream.wait_for("unsampled")
        sampled, _ = Producer(aws).publish("sampled", "ann")
        collected[0].trace(sampled, "receive", "publish", "deliver")
    assert not [span for span in collected[0].spans if span.trace_id == unsampled]


def test_clients_do_not_see_the_trace(aws: Emulator, chain: Chain) -> None:
    with chain.stream("ann") as stream:
        trace_id, _ = Producer(aws).publish("private", "ann")
        stream.wait_for("private")
        assert trace_id.encode() not in stream.raw


def test_every_metric_of_prometheus_comes_under_its_name(chain: Chain, collected: tuple[Collector, str]) -> None:
    shown = chain.client.get(f"{chain.admin}/metrics").text
    names = {line.split()[2] for line in shown.splitlines() if line.startswith("# TYPE ")}
    metrics: dict[str, Metric] = collected[0].wait_for(
        lambda seen: seen.metrics if names <= seen.metrics.keys() else None
    )
    stored = chain.metric("sse_events_stored_total")
    assert stored
    collected[0].wait_for(lambda seen: seen.metrics["sse_events_stored_total"].values == {(): stored})
    encoded = metrics["sse_events_stored_total"].encoded.sum
    assert (encoded.is_monotonic, encoded.aggregation_temporality) == (True, 2)
    assert ("user",) in metrics["sse_requests_refused_total"].values
    assert metrics["sse_asyncio_tasks"].values[()] > 0
    [point] = metrics["sse_publish_to_write_seconds"].encoded.histogram.data_points
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert sum(point.bucket_counts) == point.count
    assert not point.HasField("min")
    assert metrics["sse_events_stored_total"].resource["service.name"] == "push"


@pytest.mark.parametrize("source", ["message attribute", "CloudEvent", "AWSTraceHeader"])
def test_a_trace_may_come_from(stubbed: Chain, collected: tuple[Collector, str], source: str) -> None:
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    traceparent = f"00-{trace_id}-{span_id}-01"
    body, attributes, system = json.dumps({"user_id": "bob"}), {}, {}
    if source == "message attribute":
        attributes = {"traceparent": {"DataType": "String", "StringValue": traceparent}}
    elif source == "CloudEvent":
        event = {"specversion": "1.0", "id": trace_id, "source": "/s", "type": "a", "data": {"user_id": "bob"}}
        body = json.dumps({**event, "traceparent": traceparent})
    else:
        system = {"AWSTraceHeader": f"Root=1-{trace_id[:8]}-{trace_id[8:]};Parent={span_id};Sampled=1"}
    with stubbed.stream("bob"):
        message = {"body": body, "attributes": attributes, "system": system}
        stubbed.client.post(f"{stubbed.queue}/put", json=message).raise_for_status()
        receive, _, _ = collected[0].trace(trace_id, "receive", "publish", "deliver")
    assert receive.parent_id == span_id


def test_each_message_of_a_receive_has_its_own_trace(stubbed: Chain, collected: tuple[Collector, str]) -> None:
    traces = [secrets.token_hex(16) for _ in range(10)]
    named = [{"user_id": "bob", "traceparent": f"00-{trace}-{'1' * 16}-01"} for trace in traces]
    with stubbed.stream("bob"):
        stubbed.put_all([(str(n), attributes) for n, attributes in enumerate(named)])
        for trace in traces:
            receive, publish, deliver = collected[0].trace(trace, "receive", "publish", "deliver")
            assert [publish.parent_id, deliver.parent_id] == [receive.span_id, publish.span_id]


def test_a_message_that_is_not_understood_is_a_failed_span_in_a_new_trace(
    stubbed: Chain, collected: tuple[Collector, str]
) -> None:
    stubbed.put("for nobody", traceparent="not one")
    failed = collected[0].wait_for(lambda seen: [span for span in seen.spans if span.status == 2])
    assert failed[0].attributes["error.type"] == "not_understood"
    assert failed[0].parent_id == ""


def test_the_trace_of_an_event_goes_through_valkey_to_the_task_that_delivers_it(
    collected: tuple[Collector, str],
) -> None:
    with queue_stub() as queue, Valkey() as valkey:
        env = environment(queue, broker_url=valkey.url) | reporting(collected[1])
        with serve(queue, env) as publishing, queue_stub() as idle:
            elsewhere = {"AWS_ENDPOINT_URL": idle, "SSE_QUEUE_URL": f"{idle}/000000000000/events"}
            with serve(queue, env | elsewhere) as delivering:
                wait_until_ready(publishing)
                wait_until_ready(delivering)
                with delivering.stream("ann") as stream:
                    trace_id = secrets.token_hex(16)
                    publishing.put("over there", user_id="ann", traceparent=f"00-{trace_id}-{'1' * 16}-01")
                    stream.wait_for("over there")
                    _, publish, deliver = collected[0].trace(trace_id, "receive", "publish", "deliver")
    assert deliver.parent_id == publish.span_id
    assert deliver.resource["service.instance.id"] != publish.resource["service.instance.id"]
    assert (publish.attributes["messaging.system"], deliver.attributes["messaging.system"]) == ("valkey", "valkey")


def test_what_is_left_is_sent_before_the_task_ends(queue: str) -> None:
    with collector() as (seen, url):
        late = reporting(url, OTEL_BSP_SCHEDULE_DELAY="3600000", OTEL_METRIC_EXPORT_INTERVAL="3600000")
        with serve(queue, environment(queue) | late) as chain:
            wait_until_ready(chain)
            with chain.stream("ann") as stream:
                chain.put("last", user_id="ann")
                stream.wait_for("last")
            assert not seen.requests
            chain.process.signal(signal.SIGTERM)
            assert chain.process.wait() == 0
        assert sorted(span.name.split()[0] for span in seen.spans) == ["deliver", "publish", "receive"]
        assert seen.metrics["sse_events_stored_total"].values == {(): 1}


def test_a_collector_that_is_away_is_one_line_in_the_log_until_it_is_back(queue: str) -> None:
    port = free_port()
    # Each export gives up within the timeout, in seconds.
    env = environment(queue) | reporting(f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_TIMEOUT="1")
    with serve(queue, env) as chain:
        wait_until_ready(chain)
        with chain.stream("ann") as stream:
            chain.put("first", user_id="ann")
            stream.wait_for("first")
            chain.process.wait_for(r"collector does not take (spans|metrics) \(ConnectionError\)")
            with collector(port) as (seen, _):
                # An outage of spans ends with the next spans.
                chain.put("second", user_id="ann")
                chain.process.wait_for("collector takes spans and metrics again")
                seen.status = 403
                chain.process.wait_for(r"collector does not take (spans|metrics) \(status 403\)")
                asked = seen.requests
                chain.put("third", user_id="ann")
                stream.wait_for("third")
                seen.wait_for(lambda seen: seen.requests > asked + 5)
        chain.process.signal(signal.SIGTERM)
        assert chain.process.wait() == 0
    problems = [line for line in chain.process.output.splitlines() if " WARNING " in line or " ERROR " in line]
    assert len([line for line in problems if "elemetry" in line]) == 2, problems
    assert "Traceback" not in chain.process.output


def test_a_task_ends_although_its_collector_never_answers(queue: str) -> None:
    # An export waits for its answer for longer than the test waits for the end of the task.
    patient = {"OTEL_EXPORTER_OTLP_TIMEOUT": "100000"}
    with collector() as (seen, url), seen.held(), serve(queue, environment(queue) | reporting(url, **patient)) as chain:
        wait_until_ready(chain)
        seen.wait_for(lambda seen: seen.requests)
        chain.process.signal(signal.SIGTERM)
        assert chain.process.wait() == 0
    assert "Traceback" not in chain.process.output


def test_without_the_switch_nothing_of_opentelemetry_is_imported(queue: str) -> None:
    with serve(queue, environment(queue) | {"PYTHONPROFILEIMPORTTIME": "1"}) as chain:
        wait_until_ready(chain)
        with chain.stream("ann") as stream:
            chain.put("hello", user_id="ann", traceparent=f"00-{'1' * 32}-{'1' * 16}-01")
            stream.wait_for("hello")
        chain.process.signal(signal.SIGTERM)
        assert chain.process.wait() == 0
    assert "sse_service.task" in chain.process.output
    assert "opentelemetry" not in chain.process.output


def test_a_missing_extra_refuses_the_start_with_one_line() -> None:
    env = environment("http://127.0.0.1:1") | {"SSE_OTEL": "true"}
    with Process("tests.deploy.only_extra", "redis", "serve", "--port", "0", env=env) as process:
        assert process.wait() == 2
        assert process.output.splitlines()[-1] == "sse-service: SSE_OTEL: needs pip install 'sse-service[otel]'"
