"""Reads the queue's attributes at start, and warns about values that can lose or repeat messages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from consumers.errors import CallFailed, MalformedAnswer
from consumers.sqs.visibility import DEFAULT_VISIBILITY_SECONDS

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.sqs.shared_client import SharedClient

_DENIED = frozenset({"403", "AccessDenied", "AccessDeniedException", "InvalidAction", "UnsupportedOperation"})
"""Codes for which a retry is useless: the role lacks ``sqs:GetQueueAttributes``, or the server has no such call."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueAttributes:
    """The attributes that a consumer uses."""

    visibility_seconds: int
    has_redrive_policy: bool
    max_receives: int | None
    """``maxReceiveCount``: after this many receives, SQS moves a message to the dead-letter queue."""


async def check_queue(*, client: SharedClient, queue_url: str, dedupe_seconds: float) -> int:
    """Return the queue's visibility timeout in seconds, and warn about unsuitable attributes.

    If the role may not read the attributes, log a warning and return SQS's default of 30 s. Raises CallFailed for
    every other failure.
    """

    async def send(sqs: SQSClient) -> QueueAttributes:
        answer = await sqs.get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
        )
        return _read(answer)

    try:
        found = await client.call("attributes", send)
    except CallFailed as error:
        if error.code not in _DENIED:
            raise
        _log.warning(
            "the queue's attributes are unknown; assuming a visibility timeout of %d s", DEFAULT_VISIBILITY_SECONDS
        )
        return DEFAULT_VISIBILITY_SECONDS
    if not found.has_redrive_policy:
        _log.warning(
            "the queue has no redrive policy: rejected messages stay in it until they expire; give it a dead-letter "
            "queue"
        )
    redelivery_seconds = found.visibility_seconds * (found.max_receives or 1)
    if redelivery_seconds > dedupe_seconds:
        _log.warning(
            "the queue may redeliver a message for %d s (VisibilityTimeout x maxReceiveCount), but the dedupe window "
            "is %d s: a redelivered message can be shown twice",
            redelivery_seconds,
            dedupe_seconds,
        )
    return found.visibility_seconds


def _read(answer: Mapping[str, Any]) -> QueueAttributes:
    try:
        attributes = answer["Attributes"]
        visibility = int(attributes["VisibilityTimeout"])
        policy = attributes.get("RedrivePolicy")
        receives = None if policy is None else orjson.loads(policy).get("maxReceiveCount")
        return QueueAttributes(
            # SQS allows a timeout of 0 s, but extending a message by 0 s makes it visible at once.
            visibility_seconds=max(1, visibility),
            has_redrive_policy=policy is not None,
            max_receives=None if receives is None else int(receives),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise MalformedAnswer("queue attributes") from None
