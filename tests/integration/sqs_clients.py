"""Clients with and without the fast path, and calls whose outcomes can be compared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import BotoCoreError, ClientError

from consumers.errors import MalformedAnswer
from consumers.sqs.fast.fast_client import fast_client
from consumers.sqs.fast.status import OPERATIONS, FastPathStatus

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/events"
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
SESSION = get_session()
"""Shared, because it reads the API's description from disk only once."""


@asynccontextmanager
async def client(
    url: str | None,
    *,
    fast: bool,
    session: AioSession = SESSION,
    keys: dict[str, str] | None = None,
    status: FastPathStatus | None = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """Open a client. Without a URL it has AWS's endpoint. Options that AioConfig does not take go to the client."""
    own = {name: options.pop(name) for name in ("verify", "region_name") if name in options}
    config = AioConfig(
        **{"retries": {"mode": "standard", "total_max_attempts": 2}, "proxies": {}, "read_timeout": 5, **options}
    )
    more = {"region_name": "eu-west-1", "endpoint_url": url, **(KEYS if keys is None else keys), **own}
    async with session.create_client("sqs", config=config, **more) as made:
        if not fast:
            yield made
            return
        with fast_client(made, status=status or FastPathStatus()) as faster:
            yield faster


async def ask(sqs: Any, operation: str) -> Any:
    """Make a call, and return its outcome in a form that can be compared."""
    assert operation in OPERATIONS
    try:
        if operation == "ReceiveMessage":
            answer = await sqs.receive_message(QueueUrl=QUEUE, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        else:
            answer = await sqs.delete_message_batch(QueueUrl=QUEUE, Entries=[{"Id": "0", "ReceiptHandle": "r"}])
    except ClientError as error:
        return type(error).__name__, error.response["Error"], _metadata(error.response)
    except (BotoCoreError, MalformedAnswer) as error:
        return type(error).__name__
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}, _metadata(answer)


def _metadata(answer: dict[str, Any]) -> Any:
    metadata = answer["ResponseMetadata"]
    return metadata["HTTPStatusCode"], metadata.get("RequestId"), metadata["RetryAttempts"], metadata["HTTPHeaders"]
