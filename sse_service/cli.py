"""The commands of ``sse-service``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import secrets
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvloop
from botocore.exceptions import BotoCoreError
from pydantic import SecretStr

from consumers.sqs.consumer import SQSConsumer
from consumers.sqs.failures import AWS_ERRORS
from sse_service import aws
from sse_service.arguments import parser
from sse_service.doctor.run import run_checks
from sse_service.http.sockets import listen, listen_for_admin, url
from sse_service.identity import signer_of
from sse_service.model.errors import InvalidSettings, InvalidToken
from sse_service.preview.messages import read_messages
from sse_service.preview.run import preview
from sse_service.settings.names import closest_setting, unknown_variables
from sse_service.settings.settings import Settings
from sse_service.tail.run import tail
from sse_service.tail.token import token_source
from sse_service.task import run
from sse_service.telemetry import logs
from sse_service.telemetry.metrics import Metrics
from sse_service.whoami.claimed import MAX_CHARACTERS
from sse_service.whoami.run import whoami

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


_AWS_VARIABLES = (
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)
"""Variables that make every call to AWS fail if the value starts or ends with white space."""

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Return the exit status: 0 for success, 1 for a failure, 2 for wrong usage or settings."""
    arguments = parser().parse_args(argv)
    try:
        settings = Settings()
        logs.configure(settings.log_level, settings.log_format)
        for name in unknown_variables(os.environ):
            meant = closest_setting(name)
            hint = f". Did you mean {meant}?" if meant else ""
            _log.warning("%s is not a setting of this service: it is ignored%s", name, hint)
        return _COMMANDS[arguments.command](arguments, settings)
    except InvalidSettings as error:
        return _fail(str(error), 2)
    except OSError as error:
        return _fail(str(error), 1)


def _serve(arguments: argparse.Namespace, settings: Settings) -> int:
    _check_serving(settings)
    with (
        listen(arguments.host, arguments.port) as public,
        listen_for_admin(settings.admin_host, settings.admin_port) as admin,
    ):

        def announce() -> None:
            _log.info("listening on %s, metrics on %s/metrics, reading %s", url(public), url(admin), settings.queue_url)

        _tune_garbage_collector()
        uvloop.run(run(settings, public=public, admin=admin, announce=announce))
    return 0


def _tune_garbage_collector() -> None:
    """Make garbage collections that visit all streams rare: 10,000 of them stopped the event loop for 0.3 s.

    Streams and requests leave no reference cycles behind, and a test checks that. Only exceptions leave garbage.
    The second generation counts too: when 5,000 streams came back at once, one collection of it took 0.3 s.

    The first generation has only what is new. It is small, because events wait while it is visited: 15 ms for 50,000
    objects. All visits together take the same time at any size.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 12_500, 10)


def _check_serving(settings: Settings) -> None:
    """Raise InvalidSettings if a task could not keep its guarantees with these settings and this environment."""
    settings.check_for_serving()
    if os.environ.get("WEB_CONCURRENCY", "1").strip() not in ("", "1"):
        raise InvalidSettings(
            "WEB_CONCURRENCY: must be 1 or unset, as a task is one process with its own limits, drain and health: "
            "run more tasks instead"
        )
    for name in _AWS_VARIABLES:
        if os.environ.get(name, "") != os.environ.get(name, "").strip():
            raise InvalidSettings(f"{name}: must have no space or line end around it")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"):
        if not urlsplit(os.environ.get(name) or "http://host").netloc:
            raise InvalidSettings(f"{name}: must be an address such as http://127.0.0.1:5000")
    _check_region()
    if settings.max_streams_per_address is not None and not settings.trusted_proxies:
        _log.warning(
            "SSE_MAX_STREAMS_PER_ADDRESS is set and SSE_TRUSTED_PROXIES is not: behind a load balancer all clients "
            "count as one address. Set SSE_TRUSTED_PROXIES to the load balancer's networks"
        )
    if "jwt_algorithms" in settings.model_fields_set and not settings.has_provider:
        _log.warning("SSE_JWT_ALGORITHMS has no effect without SSE_OIDC_ISSUERS or SSE_JWKS_URL")


def _check_region() -> None:
    try:
        if aws.region() is None:
            raise InvalidSettings("AWS_REGION: must be set")
    except BotoCoreError as error:
        raise InvalidSettings(f"AWS_PROFILE: {error}") from None


def _dev(arguments: argparse.Namespace, settings: Settings) -> int:
    settings.check_for_dev()
    given = settings.model_fields_set
    logs.configure(settings.log_level, settings.log_format if "log_format" in given else "text")
    admin_port = settings.admin_port if "admin_port" in given else 0
    # The emulator has its own credentials and region. The shell's must not override them.
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        os.environ.pop(name, None)
    with listen(arguments.host, arguments.port) as public, listen_for_admin(settings.admin_host, admin_port) as admin:
        try:
            uvloop.run(_run_dev(settings, public=public, admin=admin))
        except ImportError as error:
            return _fail(str(error), 1)
    print("sse-service: stopped", file=sys.stderr)
    return 0


async def _run_dev(given: Settings, *, public: socket.socket, admin: socket.socket) -> None:
    """Run the service with an AWS emulator, the demo's back end and the demo's processor."""
    from sse_service.dev.backend import Backend
    from sse_service.dev.emulator import emulator
    from sse_service.dev.hints import USER, hints, own_executable
    from sse_service.dev.jobs import Jobs
    from sse_service.dev.processor import Processor
    from sse_service.dev.traffic import CountedProtocol, Traffic

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
        signer, jobs, traffic = signer_of(settings), Jobs(), Traffic()
        backend = Backend(signer=signer, jobs=jobs, s3=s3, bucket=embedded.bucket, traffic=traffic)
        processor = Processor(s3=s3, sns=sns, topic_arn=embedded.topic_arn, jobs=jobs)
        uploads = SQSConsumer(
            connect=lambda: embedded.client("sqs"),
            queue_url=embedded.uploads_queue_url,
            handler=processor,
            # Separate from the service's metrics.
            observer=Metrics(),
            dedupe_seconds=settings.dedupe_seconds,
        )
        token = signer.sign(USER, ttl_seconds=86_400)
        text = hints(url=url(public), admin_url=url(admin), token=token, emulator=embedded, executable=own_executable())
        async with asyncio.TaskGroup() as tasks:
            processing = [tasks.create_task(each.run()) for each in (uploads, processor)]
            await run(
                settings,
                public=public,
                admin=admin,
                extra_routes=backend.routes(),
                connection=partial(CountedProtocol, traffic=traffic),
                announce=lambda: print(text, flush=True),
                secure_cookie=False,
                immediate_drain=True,
            )
            for task in processing:
                task.cancel()


def _token(arguments: argparse.Namespace, settings: Settings) -> int:
    if not settings.jwt_secret:
        raise InvalidSettings(
            "SSE_JWT_SECRET: must be set to sign a token. Tokens of an identity provider come from the provider alone"
        )
    print(signer_of(settings).sign(arguments.user, groups=arguments.groups, ttl_seconds=arguments.ttl))
    return 0


def _publish(arguments: argparse.Namespace, settings: Settings) -> int:
    settings.require("topic_arn")
    _check_region()
    if not (arguments.user or arguments.group or arguments.broadcast):
        print(
            "sse-service: without --user, --group or --broadcast the data must say whom the event is for, or nobody "
            "receives it",
            file=sys.stderr,
        )
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
    except (*AWS_ERRORS, ValueError) as error:
        # botocore raises a plain ValueError for a malformed endpoint or key.
        return _fail(f"not published to SSE_TOPIC_ARN ({settings.topic_arn}): {error}", 1)
    return 0


def _doctor(arguments: argparse.Namespace, settings: Settings) -> int:
    refused = None
    try:
        _check_serving(settings)
    except InvalidSettings as error:
        refused = str(error)
    write = partial(print, flush=True)
    try:
        return 0 if asyncio.run(run_checks(settings, url=arguments.url, refused=refused, write=write)) else 1
    except KeyboardInterrupt:
        return _fail("interrupted", 1)


def _whoami(arguments: argparse.Namespace, settings: Settings) -> int:
    token = arguments.token
    if token == "-":  # noqa: S105  the word for stdin
        token = sys.stdin.buffer.read(MAX_CHARACTERS + 1).decode(errors="replace")
    if not token.strip():
        return _fail("there is no token", 2)
    # The answer says more of a provider that fails than its log lines, which speak of `serve`.
    logs.configure("error", settings.log_format)
    try:
        return 0 if asyncio.run(whoami(token, settings, write=partial(print, flush=True))) else 1
    except KeyboardInterrupt:
        return _fail("interrupted", 1)


def _tail(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.groups and arguments.token is not None:
        return _fail("--groups needs --user: a token says itself which groups its user is in", 2)
    narrowed = {name: getattr(arguments, name) for name in ("since", "types", "subject")}
    query = {name: value for name, value in narrowed.items() if value is not None}
    try:
        token = token_source(arguments.token, settings, user=arguments.user, groups=arguments.groups)
        return tail(url=arguments.url, protocol=arguments.over, query=query, token=token, as_json=arguments.json)
    except InvalidToken as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return 0


def _route(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        data = sys.stdin.buffer.read() if arguments.file == "-" else Path(arguments.file).read_bytes()
        messages = read_messages(data, attributes=arguments.attributes, raw=arguments.raw)
    except (OSError, ValueError) as error:
        return _fail(str(error), 2)
    return 0 if preview(messages, settings, as_json=arguments.json, output=sys.stdout) else 1


_COMMANDS = {
    "serve": _serve,
    "dev": _dev,
    "token": _token,
    "whoami": _whoami,
    "publish": _publish,
    "doctor": _doctor,
    "tail": _tail,
    "route": _route,
}


def _fail(text: str, status: int) -> int:
    print(f"sse-service: {text}", file=sys.stderr)
    return status
