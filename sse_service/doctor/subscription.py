"""The queue's subscription to the topic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sse_service.doctor.calls import Fault
from sse_service.doctor.filters import stopped_by
from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sse_service.doctor.calls import Answer

MOST_SHOWN = 500
"""Characters of a filter policy, which may have 256 KiB."""

_NAMING = frozenset({"user_id", "group", "broadcast"})
"""The attributes that say whom an event is for."""

_UNREADABLE = (AttributeError, TypeError, ValueError)


def find(subscriptions: Iterable[Mapping[str, Any]], queue_arn: str) -> str | None:
    """The ARN of the queue's subscription, which while it waits for confirmation is ``PendingConfirmation``."""
    found = [
        str(each.get("SubscriptionArn"))
        for each in subscriptions
        if each.get("Protocol") == "sqs" and each.get("Endpoint") == queue_arn
    ]
    return next((arn for arn in found if arn.startswith("arn:")), found[0] if found else None)


def judge_listing(fault: Fault) -> Finding:
    """Where the topic's subscriptions could not be listed."""
    do = "allow the task's role sns:ListSubscriptionsByTopic and sns:GetSubscriptionAttributes, or look yourself"
    return warn("subscription", f"could not be looked at ({fault.code})", do)


def judge_subscription(
    arn: str | None, answer: Answer | None, attributes: Mapping[str, str], body: Mapping[str, Any]
) -> list[Finding]:
    """``attributes`` and ``body`` are the canary's: what any event for a user has."""
    if arn is None:
        do = "aws sns subscribe --protocol sqs --topic-arn (SSE_TOPIC_ARN) --notification-endpoint (the queue's ARN)"
        return [fail("subscription", "the queue is not subscribed to the topic", do)]
    if not arn.startswith("arn:") or answer is None:
        return [_unconfirmed()]
    if isinstance(answer, Fault):
        return [judge_listing(answer)]
    given: Mapping[str, str] = answer.get("Attributes", {})
    if given.get("PendingConfirmation") == "true":
        return [_unconfirmed()]
    found = []
    if given.get("RawMessageDelivery") == "true":
        text = (
            "raw delivery is on: SNS drops messages with more than 10 attributes, its MessageId is not the event's id, "
            "and what it delivers twice is shown twice"
        )
        found.append(warn("subscription", text, "set RawMessageDelivery to false"))
    if given.get("FilterPolicy", "{}") != "{}":
        found.append(_filter(given, attributes, body))
    return found or [ok("subscription", "confirmed, in SNS's envelope, no filter policy")]


def drops(answer: Answer | None, attributes: Mapping[str, str], body: Mapping[str, Any]) -> bool:
    """Whether the filter policy, as far as it can be read, keeps the canary out."""
    given: Mapping[str, str] = {} if answer is None or isinstance(answer, Fault) else answer.get("Attributes", {})
    try:
        return bool(given.get("FilterPolicy")) and bool(_stopping(given, attributes, body))
    except _UNREADABLE:
        return False


def _stopping(given: Mapping[str, str], attributes: Mapping[str, str], body: Mapping[str, Any]) -> list[str]:
    return stopped_by(json.loads(given["FilterPolicy"]), attributes if _scope(given) == "MessageAttributes" else body)


def _scope(given: Mapping[str, str]) -> str:
    return given.get("FilterPolicyScope") or "MessageAttributes"


def _filter(given: Mapping[str, str], attributes: Mapping[str, str], body: Mapping[str, Any]) -> Finding:
    try:
        stopping = _stopping(given, attributes, body)
    except _UNREADABLE:
        return warn("subscription", "its filter policy cannot be read", "look at it yourself")
    scope = _scope(given)
    shown = f"its filter policy ({scope}) lets through only {_short(given['FilterPolicy'])}"
    if not stopping:
        return ok("subscription", f"confirmed; {shown}")
    if scope == "MessageAttributes" and _NAMING.intersection(stopping):
        return fail(
            "subscription", f"{shown}, which drops an event for one user", "let any user_id through, or remove it"
        )
    keys = ", ".join(stopping)
    return warn("subscription", f"{shown}, which drops what has no such {keys}", "nothing, where that is meant")


def _short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _unconfirmed() -> Finding:
    do = "subscribe again from the queue's account, which needs no confirmation; or visit the SubscribeURL sent to it"
    return fail("subscription", "it waits for confirmation", do)
