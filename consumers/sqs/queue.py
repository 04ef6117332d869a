"""What the consumer must know of its queue."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from consumers.errors import CallFailed, MalformedAnswer
from consumers.sqs.visibility import ASSUMED_VISIBILITY

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.sqs.calls import SQSCalls

_DENIED = frozenset({"403", "AccessDenied", "AccessDeniedException", "InvalidAction", "UnsupportedOperation"})
"""Answers that another try does not change: the role lacks ``sqs:GetQueueAttributes``, or there is no such call."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueAttributes:
    """A queue's settings."""

    visibility_seconds: int
    redrives: bool
    """Whether there is a dead-letter queue."""
    max_receives: int | None
    """``maxReceiveCount``: after so many receives a message goes there."""


async def ask_queue(*, calls: SQSCalls, queue_url: str, dedupe_seconds: float) -> int:
    """The queue's visibility timeout in seconds; warns of settings that weaken what is promised.

    Where the queue may not be asked, warns and assumes 30 s, SQS's default. Raises CallFailed for other faults.
    """

    async def send(client: SQSClient) -> QueueAttributes:
        answer = await client.get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
        )
        return _read(answer)

    try:
        found = await calls.call("attributes", send)
    except CallFailed as error:
        if error.code not in _DENIED:
            raise
        _log.warning("queue attributes unknown, assuming a visibility timeout of %d s", ASSUMED_VISIBILITY)
        return ASSUMED_VISIBILITY
    if not found.redrives:
        _log.warning("the queue has no redrive policy: what is not understood stays in it until it expires")
    redelivered = found.visibility_seconds * (found.max_receives or 1)
    if redelivered > dedupe_seconds:
        _log.warning(
            "the queue may redeliver a message for %d s (VisibilityTimeout x maxReceiveCount), the dedupe window is "
            "%d s: a redelivery can be shown twice",
            redelivered,
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
            # A timeout of 0 s is allowed, and nothing can be extended by it.
            visibility_seconds=max(1, visibility),
            redrives=policy is not None,
            max_receives=None if receives is None else int(receives),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise MalformedAnswer("queue attributes") from None
