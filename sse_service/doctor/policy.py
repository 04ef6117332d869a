"""The queue's policy, by which the topic may send to it."""

from __future__ import annotations

from sse_service.doctor.report import Finding, fail, ok, warn
from sse_service.doctor.statements import Statement, like, read

_ALLOW = (
    'allow Principal {"Service": "sns.amazonaws.com"} sqs:SendMessage on it with Condition '
    '{"ArnEquals": {"aws:SourceArn": (SSE_TOPIC_ARN)}}'
)
_HARMLESS = frozenset({"aws:securetransport", "s3:tlsversion"})
"""Conditions of a Deny that SNS, which sends by TLS, never meets."""


def judge_policy(policy: str | None, queue_arn: str, topic_arn: str) -> list[Finding]:
    """From the queue's attribute ``Policy``; the topic needs it in its own account, too."""
    if not policy:
        return [fail("policy", "the queue has none, so SNS may not send to it", _ALLOW)]
    try:
        statements = read(policy, action="sqs:SendMessage", resource=queue_arn)
    except ValueError:
        return [fail("policy", "the queue's cannot be read", _ALLOW)]
    found = [_denial(each, topic_arn) for each in statements if not each.allows and each.sns]
    allowing = [each for each in statements if each.allows and each.sns and each.covers(topic_arn)]
    if not allowing:
        return [*_present(found), fail("policy", "the queue's does not let this topic send", _ALLOW)]
    found += [_openness(each) for each in allowing]
    return _present(found) or [ok("policy", "lets this topic send, and names it")]


def _openness(statement: Statement) -> Finding | None:
    if statement.sources():
        return None
    if statement.names("aws:sourceaccount") or statement.names("aws:sourceorgid"):
        return warn("policy", "lets every topic of an account send", f"name the topic: {_ALLOW}")
    if statement.anyone and not statement.conditions:
        return warn("policy", "lets anybody send to the queue, and so to any user's page", f"instead {_ALLOW}")
    if statement.anyone:
        return warn("policy", "lets everybody send who meets a condition without aws:SourceArn", f"instead {_ALLOW}")
    return warn("policy", "lets any topic send, of any account", f"name the topic: {_ALLOW}")


def _denial(statement: Statement, topic_arn: str) -> Finding | None:
    keys = {key for conditions in statement.conditions.values() for key in conditions}
    if keys and keys <= _HARMLESS:
        return None
    if not keys or any(like(pattern, topic_arn) for pattern in statement.sources()):
        return fail("policy", "a Deny in it is met by this topic", "restrict that statement")
    return warn("policy", f"a Deny in it depends on {', '.join(sorted(keys))}", "see that this topic does not meet it")


def _present(findings: list[Finding | None]) -> list[Finding]:
    return [each for each in findings if each is not None]
