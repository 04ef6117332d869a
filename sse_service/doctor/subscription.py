"""``subscription``: the queue's subscription to the topic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.filter_policy import keys_that_drop
from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sse_service.doctor.aws_calls import Answer

MAX_SHOWN_CHARACTERS = 500
"""How much of a filter policy is shown. It may have 256 KiB."""

_RECIPIENTS = frozenset({"user_id", "group", "broadcast"})
"""The attributes that name the recipients of an event."""

_UNREADABLE = (AttributeError, TypeError, ValueError)


def find_subscription(subscriptions: Iterable[Mapping[str, Any]], queue_arn: str) -> str | None:
    """Return the ARN of the queue's subscription, or ``PendingConfirmation`` while SNS waits for its confirmation."""
    found = [
        str(each.get("SubscriptionArn"))
        for each in subscriptions
        if each.get("Protocol") == "sqs" and each.get("Endpoint") == queue_arn
    ]
    return next((arn for arn in found if arn.startswith("arn:")), found[0] if found else None)


def not_checked(fault: Fault) -> Finding:
    """Make a finding that the topic's subscriptions could not be read."""
    if fault.fix:
        return fail("subscription", f"SNS cannot be asked ({fault.code})", fault.fix)
    fix = "allow the task's role sns:ListSubscriptionsByTopic and sns:GetSubscriptionAttributes, or check it yourself"
    return warn("subscription", f"it could not be checked ({fault.code})", fix)


def check_subscription(
    arn: str | None, answer: Answer | None, attributes: Mapping[str, str], body: Mapping[str, Any]
) -> list[Finding]:
    """Check the answer to sns:GetSubscriptionAttributes.

    ``attributes`` and ``body`` are the canary's, which every event for one user has too.
    """
    if arn is None:
        fix = "aws sns subscribe --protocol sqs --topic-arn (SSE_TOPIC_ARN) --notification-endpoint (the queue's ARN)"
        return [fail("subscription", "the queue is not subscribed to the topic", fix)]
    if not arn.startswith("arn:") or answer is None:
        return [_unconfirmed()]
    if isinstance(answer, Fault):
        return [not_checked(answer)]
    given: Mapping[str, str] = answer.get("Attributes", {})
    if given.get("PendingConfirmation") == "true":
        return [_unconfirmed()]
    found = []
    if given.get("RawMessageDelivery") == "true":
        text = (
            "raw delivery is on: SNS drops messages with more than 10 attributes, the event id is not SNS's MessageId, "
            "and a message that SNS delivers twice is shown twice"
        )
        found.append(warn("subscription", text, "set RawMessageDelivery to false"))
    if given.get("FilterPolicy", "{}") != "{}":
        found.append(_check_filter_policy(given, attributes, body))
    return found or [ok("subscription", "confirmed, in SNS's envelope, no filter policy")]


def drops(answer: Answer | None, attributes: Mapping[str, str], body: Mapping[str, Any]) -> bool:
    """Whether the filter policy drops a message with these attributes and this body. False if it cannot be read."""
    given: Mapping[str, str] = {} if answer is None or isinstance(answer, Fault) else answer.get("Attributes", {})
    try:
        return bool(given.get("FilterPolicy")) and bool(_dropping(given, attributes, body))
    except _UNREADABLE:
        return False


def _dropping(given: Mapping[str, str], attributes: Mapping[str, str], body: Mapping[str, Any]) -> list[str]:
    fields = attributes if _scope(given) == "MessageAttributes" else body
    return keys_that_drop(json.loads(given["FilterPolicy"]), fields)


def _scope(given: Mapping[str, str]) -> str:
    return given.get("FilterPolicyScope") or "MessageAttributes"


def _check_filter_policy(given: Mapping[str, str], attributes: Mapping[str, str], body: Mapping[str, Any]) -> Finding:
    try:
        dropping = _dropping(given, attributes, body)
    except _UNREADABLE:
        return warn("subscription", "its filter policy cannot be read", "check it yourself")
    scope = _scope(given)
    shown = f"its filter policy ({scope}) lets through only {_shortened(given['FilterPolicy'])}"
    if not dropping:
        return ok("subscription", f"confirmed; {shown}")
    if scope == "MessageAttributes" and _RECIPIENTS.intersection(dropping):
        fix = "let every user_id pass, or remove the filter policy"
        return fail("subscription", f"{shown}, which drops an event for one user", fix)
    text = f"{shown}, which drops messages without a matching {', '.join(dropping)}"
    return warn("subscription", text, "no action if that is intended")


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def _unconfirmed() -> Finding:
    fix = (
        "subscribe again from the queue's account, which needs no confirmation, or open the SubscribeURL that SNS sent "
        "to the queue"
    )
    return fail("subscription", "it waits for confirmation", fix)
