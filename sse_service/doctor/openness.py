"""Who but the topic may send by a statement that allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.doctor.conditions import like

if TYPE_CHECKING:
    from sse_service.doctor.statements import Statement

CONDITION = 'Condition {"ArnEquals": {"aws:SourceArn": (SSE_TOPIC_ARN)}}'

_ACCOUNT, _NAME = 4, 5
"""Where they stand in a topic's ARN."""


def openness(statement: Statement, topic_arn: str) -> str:
    """What is too open in what it lets SNS, or everybody, send; empty where that is the topic alone."""
    if not statement.restrictions("aws:sourcearn"):
        if statement.anyone and not statement.conditions:
            return "lets anybody send to the queue, and so to any user's page"
        if _accounts(statement) or statement.names("aws:sourceorgid"):
            return "lets every topic of an account send"
        if statement.anyone:
            return "lets everybody send who meets a condition without aws:SourceArn"
        return "lets any topic send, of any account"
    beyond = _beyond(statement, topic_arn)
    if not beyond:
        return ""
    if any(_any_account(each) for each in beyond) and not _accounts(statement):
        return f"lets topics of any account send: {', '.join(beyond)}"
    return f"lets others send, too: {', '.join(beyond)}"


def outsiders(statement: Statement, queue_arn: str, topic_arn: str) -> list[str]:
    """Its principals that are neither SNS nor the queue's own account, which may do so by its own policies anyway."""
    if statement.restrictions("aws:sourcearn") and not _beyond(statement, topic_arn):
        return []
    account = queue_arn.split(":")[_ACCOUNT]
    own = (account, f"{queue_arn.partition(':sqs:')[0]}:iam::{account}:root")
    return [each for each in statement.others if each not in own]


def _beyond(statement: Statement, topic_arn: str) -> list[str]:
    """The patterns of ``aws:SourceArn`` that are not of the topic alone, in any region."""
    in_account = (topic_arn.split(":")[_ACCOUNT],) in _accounts(statement)
    sources = statement.restrictions("aws:sourcearn")
    return min(([each for each in values if not _names(each, topic_arn, in_account)] for values in sources), key=len)


def _accounts(statement: Statement) -> list[tuple[str, ...]]:
    return [each for each in statement.restrictions("aws:sourceaccount") if not _is_open("".join(each))]


def _names(pattern: str, topic_arn: str, in_account: bool) -> bool:
    given, topic = pattern.split(":", _NAME), topic_arn.split(":")
    if len(given) <= _NAME or given[2] != "sns" or given[_NAME] != topic[_NAME]:
        return False
    return given[_ACCOUNT] == topic[_ACCOUNT] or (in_account and like(given[_ACCOUNT], topic[_ACCOUNT]))


def _any_account(pattern: str) -> bool:
    parts = pattern.split(":", _NAME)
    return len(parts) <= _NAME or _is_open(parts[_ACCOUNT])


def _is_open(text: str) -> bool:
    return "*" in text or "?" in text
