"""SNS, SQS and S3 in this process, spoken to over HTTP by the client code of production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from sse_service.dev import resources

MISSING = "dev needs the extra: pip install 'sse-service[dev]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """A running emulator, and the names of what was made in it."""

    endpoint_url: str
    region: str = "us-east-1"
    access_key: str = "test"
    secret_key: str = "test"  # noqa: S105  the emulator takes any
    topic_arn: str = ""
    queue_url: str = ""
    """Subscribed to the topic: what the service reads."""
    dead_letter_queue_url: str = ""
    bucket: str = ""
    uploads_queue_url: str = ""
    """Fed by the bucket's notifications: what the demo's processor reads."""

    @property
    def environment(self) -> dict[str, str]:
        """AWS's own variables for a program that shall use the emulator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def client(self, service: str) -> AbstractAsyncContextManager[Any]:
        """A client of ``sns``, ``sqs`` or ``s3``."""
        client: AbstractAsyncContextManager[Any] = get_session().create_client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            # An empty mapping, unlike none, keeps HTTP_PROXY out of the way to 127.0.0.1.
            config=AioConfig(proxies={}, max_pool_connections=50),
        )
        return client


@asynccontextmanager
async def emulator(*, port: int = 0) -> AsyncIterator[Emulator]:
    """Run an emulator with topic, queues and bucket made; 0 is any free port.

    Raises ImportError with one line to show where the extra is missing, and OSError where the port is in use.
    """
    server = await asyncio.to_thread(_start, port)
    try:
        running = Emulator(endpoint_url=server.url)
        yield await resources.make(running)
    finally:
        # Its threads answer clients that are closing: waiting for them on the loop would stop both.
        await asyncio.to_thread(server.stop)


def _start(port: int) -> Any:
    try:
        # Takes half a second and is no dependency of the service: only who asks for it pays.
        from sse_service.dev.moto_server import Server
    except ImportError as error:
        raise ImportError(MISSING) from error
    return Server(port=port)
