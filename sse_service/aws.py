"""AWS clients, configured by AWS's own environment variables and the task's role."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from consumers.sqs.failures import PARSER_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_aiobotocore_sqs import SQSClient

LONG_POLL_SECONDS = 20
"""SQS's maximum. The longest poll needs the fewest requests."""


class NotAWS(BotoCoreError):  # noqa: N818  names what was found
    """Something other than AWS has answered, such as a proxy with a page."""

    fmt = "what answered is not AWS: check AWS_ENDPOINT_URL and HTTPS_PROXY"


@contextmanager
def aws_only() -> Iterator[None]:
    """Raise NotAWS if something other than AWS answers the calls of the block. AWS sends no HTML."""
    try:
        yield
    except ClientError as error:
        kind = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("content-type", "")
        if "html" in kind:
            raise NotAWS from None
        raise
    except PARSER_ERRORS:
        raise NotAWS from None


def connect_sqs(*, pollers: int) -> AbstractAsyncContextManager[SQSClient]:
    """Open a client for this number of parallel polls. Its session is new, so it looks up credentials again."""
    config = AioConfig(
        connect_timeout=3,
        read_timeout=LONG_POLL_SECONDS + 10,
        retries={"mode": "standard", "total_max_attempts": 2},
        # One for each poll, and some for other calls: with fewer, a delete would wait until a poll ends.
        max_pool_connections=pollers * 2 + 4,
        parameter_validation=False,
        user_agent="sse-service",
    )
    client: AbstractAsyncContextManager[SQSClient] = AioSession().create_client(
        "sqs", region_name=region(), config=config
    )
    return client


async def publish(topic_arn: str, message: str, attributes: dict[str, str]) -> str:
    """Send a message with string attributes to an SNS topic, and return its MessageId.

    Raises botocore's errors, and NotAWS.
    """
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    with aws_only():
        async with AioSession().create_client("sns", region_name=region()) as sns:
            answer = await sns.publish(TopicArn=topic_arn, Message=message, MessageAttributes=typed)
            return str(answer["MessageId"])


def region() -> str | None:
    """Return the AWS region. ECS and Lambda set ``AWS_REGION``, which botocore does not read.

    Raises BotoCoreError if ``AWS_PROFILE`` names a profile that does not exist.
    """
    session = AioSession()
    session.get_scoped_config()  # checks the profile, even if AWS_REGION is set
    return os.environ.get("AWS_REGION") or session.get_config_variable("region") or None
