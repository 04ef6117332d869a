"""Builds one task. The only file that names concrete brokers, consumers and protocols."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sse_service.brokers.memory.broker import MemoryBroker
from sse_service.client.files import client_route
from sse_service.http import descriptors
from sse_service.http.admin import create_admin_app
from sse_service.http.app import create_app
from sse_service.http.probes import Probes
from sse_service.http.problems import problem
from sse_service.http.session import Session
from sse_service.http.sockets import with_ipv4_mapped
from sse_service.http.uvicorn.connection_limit import ConnectionLimit
from sse_service.http.uvicorn.protocol import HTTPProtocol
from sse_service.http.uvicorn.server import DrainingServer, SecondaryServer, make_config
from sse_service.identity import identity_of
from sse_service.ingestion import consumer_of
from sse_service.model.errors import InvalidSettings
from sse_service.model.revocations import RevocationTable
from sse_service.observability import opentelemetry_of
from sse_service.operator.overview import Inspector
from sse_service.operator.recent_warnings import RecentWarnings
from sse_service.operator.revoke import RevokeEndpoint
from sse_service.operator.routes import OperatorPage
from sse_service.operator.samples import Samples
from sse_service.protocols.admission import Admission
from sse_service.protocols.polling.endpoint import PollEndpoint
from sse_service.protocols.sse.endpoint import EventsEndpoint
from sse_service.streams.backlog import QueueLimits
from sse_service.streams.drain import Drain
from sse_service.streams.hub import Hub
from sse_service.streams.limits import Limits
from sse_service.streams.registry import StreamRegistry
from sse_service.streams.revoker import Revoker
from sse_service.streams.timer import Timer
from sse_service.telemetry.emf import EmbeddedMetrics
from sse_service.telemetry.health import Health
from sse_service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from sse_service.brokers.base import Broker, Listener, OnLost, OnRevoked
    from sse_service.identity import Identity
    from sse_service.settings.settings import Settings


async def run(
    settings: Settings,
    *,
    public: socket.socket,
    admin: socket.socket,
    announce: Callable[[], None],
    extra_routes: Sequence[BaseRoute] = (),
    secure_cookie: bool = True,
    immediate_drain: bool = False,
    connection: Callable[..., HTTPProtocol] = HTTPProtocol,
) -> None:
    """Serve on two listening sockets until a signal has drained the task.

    ``announce`` is called when the public port is open. ``immediate_drain`` drains without pacing, and cancels the
    consumer's open polls. ``connection`` makes the protocol of each connection to the public port.
    """
    connections = descriptors.connections_within(descriptors.raise_limit())
    metrics = Metrics()
    revocations = RevocationTable()
    metrics.revocations.set_function(revocations.__len__)
    identity = identity_of(settings, metrics=metrics, revocations=revocations)
    health = Health(
        dependencies={
            "consumer": lambda: consumer.trouble,
            "broker": lambda: broker.trouble,
        },
        for_identity=identity.dependencies,
        notes=identity.notes,
    )
    # From the queue to the streams.
    otel = opentelemetry_of(settings, metrics=metrics)
    tracing = None if otel is None else otel.tracing
    hub = Hub(metrics=metrics)
    broker: Broker = _broker(
        settings,
        listener=hub.dispatch if tracing is None else tracing.listener(hub.dispatch, streams_of=hub.count),
        on_lost=hub.lost,
        revocations=revocations,
        on_revoked=lambda changed: streams.end_revoked(changed),
        metrics=metrics,
    )
    await broker.check()
    consumer = consumer_of(settings, broker=broker, metrics=metrics, tracing=tracing)
    streams: StreamRegistry = _streams(
        settings, connections, hub=hub, broker=broker, revocations=revocations, metrics=metrics, health=health
    )
    revoker = Revoker(table=revocations, broker=broker, streams=streams, seconds=settings.revoked_seconds)
    timer = Timer(
        streams=streams,
        broker=broker,
        heartbeat_seconds=settings.heartbeat_seconds,
        history_seconds=settings.history_seconds,
    )
    consumer_done = asyncio.Event()
    # The public port.
    app = _public_app(
        settings,
        identity=identity,
        revocations=revocations,
        revoker=revoker,
        streams=streams,
        metrics=metrics,
        health=health,
        extra_routes=extra_routes,
        secure_cookie=secure_cookie,
    )
    server = DrainingServer(
        make_config(
            app,
            limit=ConnectionLimit(connections=connections, port_name="public"),
            health=health,
            connection=connection,
            trusted_proxies=[str(each) for network in settings.trusted_proxies for each in with_ipv4_mapped(network)],
        ),
        drain=Drain(
            streams=streams,
            health=health,
            stop_consumer=consumer.stop,
            consumer_done=consumer_done,
            seconds=settings.drain_seconds,
        ),
        immediate_drain=immediate_drain,
        announce=announce,
    )
    # The admin port.
    samples = Samples(metrics=metrics)
    warnings = RecentWarnings()
    inspector = Inspector(streams=streams, health=health, metrics=metrics, samples=samples, warnings=warnings)
    operator = OperatorPage(inspector=inspector, topic_arn=settings.topic_arn, revoker=revoker)
    admin_server = SecondaryServer(
        make_config(
            create_admin_app(metrics=metrics, others=[RevokeEndpoint(revoker).route(), *operator.routes()]),
            limit=ConnectionLimit(connections=descriptors.ADMIN_CONNECTIONS, port_name="admin"),
            health=health,
        )
    )

    work = [broker.run(), streams.run(), timer.run(), samples.run(), *(run() for run in identity.work)]
    if settings.emf_namespace is not None:
        emf = EmbeddedMetrics(metrics=metrics, health=health, namespace=settings.emf_namespace, write=_print)
        work.append(emf.run())
    if otel is not None:
        work.append(otel.run())

    async def consume() -> None:
        await consumer.run()
        consumer_done.set()

    with warnings:
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(each) for each in (*work, consume())]
            administering = tasks.create_task(admin_server.serve(sockets=[admin]))
            await server.serve(sockets=[public])
            operator.end()
            admin_server.should_exit = True
            await administering
            for task in background:
                task.cancel()


def _streams(
    settings: Settings,
    connections: int,
    *,
    hub: Hub,
    broker: Broker,
    revocations: RevocationTable,
    metrics: Metrics,
    health: Health,
) -> StreamRegistry:
    limits = Limits(
        streams=descriptors.streams_within(connections, settings.max_streams),
        per_user=settings.max_streams_per_user,
        per_address=settings.max_streams_per_address,
        opens_per_second=settings.opens_per_second,
    )
    return StreamRegistry(
        hub=hub,
        broker=broker,
        metrics=metrics,
        health=health,
        limits=limits,
        revocations=revocations,
        queue_limits=QueueLimits(events=settings.stream_queue_events, bytes=settings.stream_queue_bytes),
        max_age_seconds=settings.stream_max_age_seconds,
    )


def _public_app(
    settings: Settings,
    *,
    identity: Identity,
    revocations: RevocationTable,
    revoker: Revoker,
    streams: StreamRegistry,
    metrics: Metrics,
    health: Health,
    extra_routes: Sequence[BaseRoute],
    secure_cookie: bool,
) -> ASGIApp:
    admission = Admission(auth=identity.authenticators, streams=streams, metrics=metrics)
    return create_app(
        streams={
            "/events": EventsEndpoint(
                admission=admission, streams=streams, heartbeat_seconds=settings.heartbeat_seconds
            ),
            "/events/poll": PollEndpoint(admission=admission, streams=streams),
            "/ws": _websocket(settings, admission=admission, streams=streams),
        },
        session=Session(
            verifier=identity.verifier,
            revocations=revocations,
            revoker=revoker,
            allowed_origins=settings.cors_origins,
            cookie_name=settings.cookie_name,
            same_site=settings.cookie_samesite,
            domain=settings.cookie_domain,
            secure=secure_cookie,
        ),
        probes=Probes(health=health),
        cors_origins=settings.cors_origins,
        extra_routes=[client_route(), *extra_routes],
    )


def _websocket(settings: Settings, *, admission: Admission, streams: StreamRegistry) -> ASGIApp:
    try:
        from sse_service.protocols.websocket.endpoint import WebSocketEndpoint
    except ImportError:
        return problem(501, "WebSockets need pip install 'sse-service[websocket]'")
    return WebSocketEndpoint(admission=admission, streams=streams, heartbeat_seconds=settings.heartbeat_seconds)


def _broker(
    settings: Settings,
    *,
    listener: Listener,
    on_lost: OnLost,
    revocations: RevocationTable,
    on_revoked: OnRevoked,
    metrics: Metrics,
) -> Broker:
    if settings.in_memory:
        return MemoryBroker(
            listener=listener,
            revocations=revocations,
            on_revoked=on_revoked,
            metrics=metrics,
            history_events=settings.history_events,
            history_seconds=settings.history_seconds,
            history_bytes=settings.history_bytes,
            dedupe_seconds=settings.dedupe_seconds,
        )
    try:
        from sse_service.brokers.valkey.broker import ValkeyBroker
    except ImportError:
        raise InvalidSettings("SSE_BROKER_URL: needs pip install 'sse-service[redis]'") from None
    return ValkeyBroker(
        url=settings.store_url,
        listener=listener,
        on_lost=on_lost,
        revocations=revocations,
        on_revoked=on_revoked,
        metrics=metrics,
        history_events=settings.history_events,
        history_seconds=settings.history_seconds,
        history_bytes=settings.history_bytes,
        dedupe_seconds=settings.dedupe_seconds,
    )


def _print(line: str) -> None:
    # Flush, or a pipe's buffer would hold the line back for an hour.
    print(line, end="", flush=True)
