"""The check of durations in the queue's attributes and in the settings that must fit each other."""

from __future__ import annotations

import pytest

from sse_service.doctor.redrive import RedrivePolicy
from sse_service.doctor.report import Finding, Level
from sse_service.doctor.timeouts import check_timeouts
from sse_service.settings.settings import Settings

REDRIVE = RedrivePolicy("arn:aws:sqs:eu-west-1:123456789012:dead", 5)


def levels(findings: list[Finding]) -> list[Level]:
    return [each.level for each in findings]


def times(
    queue: dict[str, str] | None,
    *,
    dlq: dict[str, str] | None = None,
    redrive: RedrivePolicy | None = REDRIVE,
    **settings: int,
) -> list[Finding]:
    return check_timeouts(Settings(**settings), queue, redrive, dlq)


SOUND = {"VisibilityTimeout": "30", "MessageRetentionPeriod": "345600", "DelaySeconds": "0"}


def test_times_that_agree_are_ok() -> None:
    [found] = times(SOUND, dlq={"MessageRetentionPeriod": "1209600"})
    assert found.level is Level.OK
    assert "30 s x 5 within SSE_DEDUPE_SECONDS 900" in found.text
    assert levels(times(SOUND, redrive=None)) == [Level.OK]


def test_a_dedupe_window_that_ends_before_the_last_redelivery_fails() -> None:
    assert levels(times(SOUND, dedupe_seconds=150)) == [Level.OK]
    [found] = times(SOUND, dedupe_seconds=149)
    assert found.level is Level.FAIL
    assert "raise SSE_DEDUPE_SECONDS to 150" in found.fix


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"VisibilityTimeout": "9"}, "VisibilityTimeout is 9 s"),
        ({"DelaySeconds": "5"}, "DelaySeconds is 5"),
        ({"MessageRetentionPeriod": "43199"}, "12 hours"),
    ],
)
def test_times_of_the_queue_that_weaken_a_guarantee_are_a_warning(changed: dict[str, str], word: str) -> None:
    [found] = times({**SOUND, **changed})
    assert found.level is Level.WARN
    assert word in found.text


def test_retention_periods_that_lose_messages_are_a_warning() -> None:
    found = times({**SOUND, "MessageRetentionPeriod": "120"})
    assert "expires before it becomes a dead letter" in found[-1].text
    [found_retention] = times(SOUND, dlq={"MessageRetentionPeriod": "86400"})
    assert "counted from when they were sent" in found_retention.text


def test_a_history_shorter_than_the_longest_retry_is_a_warning_even_without_the_queue() -> None:
    found = times(None, history_seconds=59)
    assert levels(found) == [Level.WARN, Level.SKIP]
    assert "each such page gets a gap" in found[0].text
    assert levels(times(None, history_seconds=60)) == [Level.SKIP]
