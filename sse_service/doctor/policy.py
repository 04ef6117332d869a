"""``policy``: the queue's policy. It must let the topic send to the queue, and should let nobody else."""

from __future__ import annotations

from sse_service.doctor.policy_statements import ONLY_THIS_TOPIC, Statement, matches_pattern, read_statements
from sse_service.doctor.report import Finding, fail, ok, warn

_ALLOW = f'allow Principal {{"Service": "sns.amazonaws.com"}} sqs:SendMessage on it with {ONLY_THIS_TOPIC}'
_HARMLESS = frozenset({"aws:securetransport", "s3:tlsversion"})
"""Condition keys of Deny statements that never apply to SNS, because it sends over TLS."""

_ACCOUNT, _NAME = 4, 5
"""The positions of account and name in a topic's ARN."""


def check_policy(policy: str | None, queue_arn: str, topic_arn: str) -> list[Finding]:
    """Check the queue's ``Policy`` attribute. A topic in the queue's own account needs one too."""
    if not policy:
        return [fail("policy", "the queue has no policy, so SNS may not send to it", _ALLOW)]
    try:
        statements = read_statements(policy, action="sqs:SendMessage", resource=queue_arn)
    except ValueError:
        return [fail("policy", "it cannot be read", _ALLOW)]
    allowing = [each for each in statements if each.allows]
    found = [_check_denial(each, topic_arn) for each in statements if not each.allows and each.sns]
    found += [_check_senders(each, topic_arn) for each in allowing if each.sns]
    found += [_check_principals(each, queue_arn, topic_arn) for each in allowing]
    if not any(each.sns and each.applies_to(topic_arn) for each in allowing):
        found.append(_not_allowed(allowing, topic_arn))
    return [each for each in found if each is not None] or [ok("policy", "lets this topic send, and nobody else")]


def _check_denial(statement: Statement, topic_arn: str) -> Finding | None:
    keys = {each.key for each in statement.conditions}
    if keys and (keys <= _HARMLESS or not statement.applies_to(topic_arn)):
        return None
    unknown = {each.key for each in statement.conditions if each.met(topic_arn) is None}
    if not unknown:
        return fail("policy", "a Deny statement applies to this topic", "restrict that statement")
    text = f"a Deny statement depends on {', '.join(sorted(unknown))}"
    return warn("policy", text, "make sure that it does not apply to this topic")


def _not_allowed(allowing: list[Statement], topic_arn: str) -> Finding:
    text = "it does not let this topic send"
    if any(each.sns and each.unmet(topic_arn) == {"aws:sourceaccount"} for each in allowing):
        text += ": its aws:SourceAccount is another account"
    return fail("policy", text, _ALLOW)


def _check_senders(statement: Statement, topic_arn: str) -> Finding | None:
    text = _other_senders(statement, topic_arn)
    return warn("policy", text, f"if that is not intended, {_ALLOW} instead") if text else None


def _other_senders(statement: Statement, topic_arn: str) -> str:
    """Describe who else may send by this statement; empty if only the topic may."""
    if not statement.restrictions("aws:sourcearn"):
        if statement.anyone and not statement.conditions:
            return "lets anybody send to the queue, and so to any user's page"
        if _exact_accounts(statement) or statement.has_condition_on("aws:sourceorgid"):
            return "lets every topic of an account send"
        if statement.anyone:
            return "lets everybody send who meets a condition without aws:SourceArn"
        return "lets any topic of any account send"
    others = _other_sources(statement, topic_arn)
    if not others:
        return ""
    if any(_in_any_account(each) for each in others) and not _exact_accounts(statement):
        return f"lets topics of any account send: {', '.join(others)}"
    return f"also lets others send: {', '.join(others)}"


def _check_principals(statement: Statement, queue_arn: str, topic_arn: str) -> Finding | None:
    """Report principals other than SNS and the queue's own account, which may allow itself the same by IAM policies."""
    if statement.restrictions("aws:sourcearn") and not _other_sources(statement, topic_arn):
        return None
    account = queue_arn.split(":")[_ACCOUNT]
    own = (account, f"{queue_arn.partition(':sqs:')[0]}:iam::{account}:root")
    named = [each for each in statement.others if each not in own]
    if not named:
        return None
    fix = "no action if that is intended; anyone who may send to the queue can write to any user's page"
    return warn("policy", f"also lets others send: {', '.join(named)}", fix)


def _other_sources(statement: Statement, topic_arn: str) -> list[str]:
    """Return the patterns of ``aws:SourceArn`` that match more than this topic. Its region may be a wildcard."""
    in_account = (topic_arn.split(":")[_ACCOUNT],) in _exact_accounts(statement)
    sources = statement.restrictions("aws:sourcearn")
    return min(([each for each in values if not _names(each, topic_arn, in_account)] for values in sources), key=len)


def _exact_accounts(statement: Statement) -> list[tuple[str, ...]]:
    return [each for each in statement.restrictions("aws:sourceaccount") if not _has_wildcard("".join(each))]


def _names(pattern: str, topic_arn: str, in_account: bool) -> bool:
    given, topic = pattern.split(":", _NAME), topic_arn.split(":")
    if len(given) <= _NAME or given[2] != "sns" or given[_NAME] != topic[_NAME]:
        return False
    return given[_ACCOUNT] == topic[_ACCOUNT] or (in_account and matches_pattern(given[_ACCOUNT], topic[_ACCOUNT]))


def _in_any_account(pattern: str) -> bool:
    parts = pattern.split(":", _NAME)
    return len(parts) <= _NAME or _has_wildcard(parts[_ACCOUNT])


def _has_wildcard(text: str) -> bool:
    return "*" in text or "?" in text
