"""The command line, and the one place where everything is put together."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import uvloop
from botocore.exceptions import BotoCoreError
from pydantic import SecretStr

from consumers.sqs import FAULTS, SQSConsumer
from sse_service import aws, logs
from sse_service.admin import create_admin_app
from sse_service.app import create_app
from sse_service.arguments import parser
from sse_service.auth.requests import RequestAuth
from sse_service.auth.tokens import Tokens
from sse_service.brokers.memory import MemoryBroker
from sse_service.catchup import CatchUp
from sse_service.drain import Drain
from sse_service.endpoints import Events, Probes, Session
from sse_service.errors import InvalidSettings
from sse_service.health import Health
from sse_service.hub import Hub
from sse_service.ingest import Ingest
from sse_service.metrics import Metrics
from sse_service.overrides import Overrides
from sse_service.routing import Router
from sse_service.server import QuietServer, Server, config, listen, listen_for_admin, url
from sse_service.settings import Settings, unknown
from sse_service.streams import Streams
from sse_service.subscription import QueueLimits
from sse_service.timer import Timer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from starlette.routing import BaseRoute

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and give the exit status: 0, 1 for a failure, 2 for wrong usage or settings."""
    arguments = parser().parse_args(argv)
    try:
        settings = Settings()
        logs.configure(settings.log_level, settings.log_format)
        for name in unknown(os.environ):
            _log.warning("%s is no setting of this service", name)
        return _COMMANDS[arguments.command](arguments, settings)
    except InvalidSettings as error:
        return _complain(str(error), 2)
    except OSError as error:
        return _complain(str(error), 1)


def _serve(arguments: argparse.Namespace, settings: Settings) -> int:
    settings.for_serving()
    try:
        if aws.region() is None:
            raise InvalidSettings("AWS_REGION: must be set")
    except BotoCoreError as error:
        raise InvalidSettings(f"AWS_PROFILE: {error}") from None
    with (
        listen(arguments.host, arguments.port) as public,
        listen_for_admin(settings.admin_host, settings.admin_port) as admin,
    ):

        def announce() -> None:
            _log.info("listening on %s, metrics on %s/metrics, reading %s", url(public), url(admin), settings.queue_url)

        uvloop.run(run(settings, public=public, admin=admin, announce=announce))
    return 0


def _dev(arguments: argparse.Namespace, settings: Settings) -> int:
    given = settings.model_fields_set
    logs.configure(settings.log_level, settings.log_format if "log_format" in given else "text")
    admin_port = settings.admin_port if "admin_port" in given else 0
    # From here on this is a process like any other on AWS, whatever the shell was set to.
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        os.environ.pop(name, None)
    with listen(arguments.host, arguments.port) as public, listen_for_admin(settings.admin_host, admin_port) as admin:
        try:
            uvloop.run(_run_dev(settings, public=public, admin=admin))
        except ImportError as error:
            return _complain(str(error), 1)
    print("sse-service: stopped", file=sys.stderr)
    return 0


async def _run_dev(given: Settings, *, public: socket.socket, admin: socket.socket) -> None:
    """Run what ``serve`` runs, on an embedded AWS, with the demo's back end and processor beside it."""
    from sse_service.dev.backend import Backend
    from sse_service.dev.emulator import emulator
    from sse_service.dev.hints import USER, hints, own_executable
    from sse_service.dev.jobs import Jobs
    from sse_service.dev.processor import Processor

    async with AsyncExitStack() as stack:
        embedded = await stack.enter_async_context(emulator())
        os.environ.update(embedded.environment, NO_PROXY="127.0.0.1")
        settings = Settings(
            queue_url=embedded.queue_url,
            topic_arn=embedded.topic_arn,
            jwt_secret=given.jwt_secret or (SecretStr(secrets.token_urlsafe(32)),),
            single_task=True,
        )
        s3, sns = [await stack.enter_async_context(embedded.client(service)) for service in ("s3", "sns")]
        tokens, jobs = _tokens(settings), Jobs()
        processor = SQSConsumer(
            connect=lambda: embedded.client("sqs"),
            queue_url=embedded.uploads_queue_url,
            handler=Processor(s3=s3, sns=sns, topic_arn=embedded.topic_arn, jobs=jobs),
            # Each poll is held as long as its file is worked on.
            pollers=8,
            # Its counts are not the service's.
            observer=Metrics(),
            dedupe_seconds=settings.dedupe_seconds,
        )
        token = tokens.sign(USER, ttl_seconds=86_400)
        text = hints(url=url(public), token=token, emulator=embedded, executable=own_executable())
        async with asyncio.TaskGroup() as tasks:
            processing = tasks.create_task(processor.run())
            await run(
                settings,
                public=public,
                admin=admin,
                extra_routes=Backend(tokens=tokens, jobs=jobs, s3=s3, bucket=embedded.bucket).routes(),
                announce=lambda: print(text, flush=True),
                secure_cookie=False,
                at_once=True,
            )
            processing.cancel()


def _token(arguments: argparse.Namespace, settings: Settings) -> int:
    settings.require("jwt_secret")
    groups = [group for group in arguments.groups.split(",") if group]
    print(_tokens(settings).sign(arguments.user, groups=groups, ttl_seconds=arguments.ttl))
    return 0


def _publish(arguments: argparse.Namespace, settings: Settings) -> int:
    settings.require("topic_arn")
    named = {
        "user_id": arguments.user,
        "group": arguments.group,
        "broadcast": "true" if arguments.broadcast else None,
        "event_type": arguments.type,
        "subject": arguments.subject,
        "event_id": arguments.id,
    }
    attributes = {name: value for name, value in named.items() if value is not None}
    try:
        print(asyncio.run(aws.publish(settings.topic_arn, arguments.data, attributes)))
    except FAULTS as error:
        return _complain(f"not published: {error}", 1)
    return 0


_COMMANDS = {"serve": _serve, "dev": _dev, "token": _token, "publish": _publish}


async def run(
    settings: Settings,
    *,
    public: socket.socket,
    admin: socket.socket,
    announce: Callable[[], None],
    extra_routes: Sequence[BaseRoute] = (),
    secure_cookie: bool = True,
    at_once: bool = False,
) -> None:
    """Serve on two listening sockets until a signal has drained the task; ``announce`` is called once it does.

    ``at_once`` drains without pacing, and cancels the consumer's open polls.
    """
    metrics = Metrics()
    hub = Hub(metrics=metrics)
    broker = MemoryBroker(
        listener=hub.dispatch,
        metrics=metrics,
        history_events=settings.history_events,
        history_seconds=settings.history_seconds,
        history_bytes=settings.history_bytes,
        dedupe_seconds=settings.dedupe_seconds,
    )
    catchup = CatchUp(broker=broker, metrics=metrics)
    streams = Streams(
        hub=hub,
        broker=broker,
        catchup=catchup,
        metrics=metrics,
        queue_limits=QueueLimits(events=settings.stream_queue_events, bytes=settings.stream_queue_bytes),
        max_streams=settings.max_streams,
    )
    timer = Timer(
        streams=streams,
        broker=broker,
        heartbeat_seconds=settings.heartbeat_seconds,
        history_seconds=settings.history_seconds,
    )
    router = Router(
        max_event_bytes=settings.max_event_bytes,
        s3_key_pattern=settings.s3_key_pattern,
        overrides=Overrides(
            user=settings.route_user,
            group=settings.route_group,
            broadcast=settings.route_broadcast,
            type=settings.route_type,
            subject=settings.route_subject,
            data=settings.route_data,
            id=settings.route_id,
        ),
    )
    consumer = SQSConsumer(
        connect=lambda: aws.connect_sqs(pollers=settings.sqs_pollers),
        queue_url=settings.queue_url,
        handler=Ingest(router=router, broker=broker, metrics=metrics, discard_unrouted=settings.unrouted == "discard"),
        observer=metrics,
        pollers=settings.sqs_pollers,
        wait_seconds=aws.LONG_POLL_SECONDS,
        dedupe_seconds=settings.dedupe_seconds,
    )
    consumed = asyncio.Event()
    health = Health(dependencies={"consumer": lambda: consumer.ready, "broker": lambda: True})
    drain = Drain(
        streams=streams,
        health=health,
        stop_consumer=consumer.stop,
        consumed=consumed,
        seconds=settings.drain_seconds,
    )
    auth = RequestAuth(
        tokens=_tokens(settings), cookie_name=settings.cookie_name, allowed_origins=settings.cors_origins
    )
    app = create_app(
        events=Events(auth=auth, streams=streams, metrics=metrics),
        session=Session(
            auth=auth,
            cookie_name=settings.cookie_name,
            same_site=settings.cookie_samesite,
            domain=settings.cookie_domain,
            secure=secure_cookie,
        ),
        probes=Probes(health=health),
        cors_origins=settings.cors_origins,
        extra_routes=extra_routes,
    )
    proxies = [str(network) for network in settings.trusted_proxies]
    server = Server(config(app, trusted_proxies=proxies), drain=drain, at_once=at_once, announce=announce)
    admin_server = QuietServer(config(create_admin_app(metrics=metrics)))

    async def consume() -> None:
        await consumer.run()
        consumed.set()

    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(work)
            for work in (catchup.run(), timer.run(), consume(), admin_server.serve(sockets=[admin]))
        ]
        await server.serve(sockets=[public])
        for task in background:
            task.cancel()


def _tokens(settings: Settings) -> Tokens:
    return Tokens(
        secrets=[secret.get_secret_value() for secret in settings.jwt_secret],
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        user_claim=settings.user_claim,
        groups_claim=settings.groups_claim,
    )


def _complain(text: str, status: int) -> int:
    print(f"sse-service: {text}", file=sys.stderr)
    return status
