"""The queue's policy, by which the topic may send to it."""

from __future__ import annotations

from sse_service.doctor.openness import CONDITION, openness, outsiders
from sse_service.doctor.report import Finding, fail, ok, warn
from sse_service.doctor.statements import Statement, read

_ALLOW = f'allow Principal {{"Service": "sns.amazonaws.com"}} sqs:SendMessage on it with {CONDITION}'
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
    allowing = [each for each in statements if each.allows]
    found = [_denial(each, topic_arn) for each in statements if not each.allows and each.sns]
    found += [_openness(each, topic_arn) for each in allowing if each.sns]
    found += [_outsiders(each, queue_arn, topic_arn) for each in allowing]
    if not any(each.sns and each.covers(topic_arn) for each in allowing):
        found.append(_closed(allowing, topic_arn))
    return [each for each in found if each is not None] or [ok("policy", "lets this topic send, and nobody else")]


def _openness(statement: Statement, topic_arn: str) -> Finding | None:
    text = openness(statement, topic_arn)
    return warn("policy", text, f"where that is not meant, instead {_ALLOW}") if text else None


def _outsiders(statement: Statement, queue_arn: str, topic_arn: str) -> Finding | None:
    named = outsiders(statement, queue_arn, topic_arn)
    if not named:
        return None
    text = f"lets others send, too: {', '.join(named)}"
    return warn("policy", text, "nothing, where that is meant; who may send may write to any user's page")


def _closed(allowing: list[Statement], topic_arn: str) -> Finding:
    if any(each.sns and each.unmet(topic_arn) == {"aws:sourceaccount"} for each in allowing):
        return fail("policy", "the queue's does not let this topic send: its aws:SourceAccount is another's", _ALLOW)
    return fail("policy", "the queue's does not let this topic send", _ALLOW)


def _denial(statement: Statement, topic_arn: str) -> Finding | None:
    keys = {each.key for each in statement.conditions}
    if keys and (keys <= _HARMLESS or not statement.covers(topic_arn)):
        return None
    unknown = {each.key for each in statement.conditions if each.met(topic_arn) is None}
    if not unknown:
        return fail("policy", "a Deny in it is met by this topic", "restrict that statement")
    text = f"a Deny in it depends on {', '.join(sorted(unknown))}"
    return warn("policy", text, "see that this topic does not meet it")
