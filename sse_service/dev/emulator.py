"""SNS, SQS and S3 in this process (moto). Clients use them over HTTP, as they use AWS in production."""

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
    """A running emulator and the resources in it."""

    endpoint_url: str
    region: str = "us-east-1"
    access_key: str = "test"
    secret_key: str = "test"  # noqa: S105  the emulator accepts any
    topic_arn: str = ""
    queue_url: str = ""
    """The queue that the service reads. It has a subscription to the topic."""
    dead_letter_queue_url: str = ""
    bucket: str = ""
    uploads_queue_url: str = ""
    """The queue that the demo's processor reads. It gets the bucket's notifications."""

    @property
    def environment(self) -> dict[str, str]:
        """AWS's environment variables, for a program that uses the emulator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def client(self, service: str) -> AbstractAsyncContextManager[Any]:
        """Make a client of ``sns``, ``sqs`` or ``s3``."""
        client: AbstractAsyncContextManager[Any] = get_session().create_client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            # An empty mapping, unlike None, makes botocore ignore HTTP_PROXY, which cannot reach 127.0.0.1.
            config=AioConfig(proxies={}, max_pool_connections=50),
        )
        return client


@asynccontextmanager
async def emulator(*, port: int = 0) -> AsyncIterator[Emulator]:
    """Run an emulator with a topic, queues and a bucket in it. Port 0 means any free port.

    Raises ImportError with a one-line message if the extra is not installed, and OSError if the port is in use.
    """
    server = await asyncio.to_thread(_start, port)
    try:
        running = Emulator(endpoint_url=server.url)
        yield await resources.create_resources(running)
    finally:
        # In a thread: the server's threads wait for clients of this event loop to close, so the loop must not block.
        await asyncio.to_thread(server.stop)


def _start(port: int) -> Any:
    try:
        # Imported here: it takes half a second, and moto is not a dependency of the service.
        from sse_service.dev.moto_server import MotoServer
    except ImportError as error:
        raise ImportError(MISSING) from error
    return MotoServer(port=port)
