"""What the fast path says about itself: in the metric while it changes, and in the log once for each change."""

from __future__ import annotations

import logging

import pytest

from consumers.sqs.fast.status import FastPathStatus

RECEIVE, DELETE = "ReceiveMessage", "DeleteMessageBatch"


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consumers.sqs.fast.status")


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def not_in_use(reason: str) -> tuple[str, str]:
    return ("WARNING", f"the fast SQS path is not in use: {reason}; calls cost about four times the CPU")


IN_USE = ("INFO", "the fast SQS path is in use")


def test_it_is_not_in_use_before_the_first_call(caplog: pytest.LogCaptureFixture) -> None:
    assert not FastPathStatus().in_use
    assert said(caplog) == []


def test_its_use_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    status = FastPathStatus()
    for operation in (RECEIVE, DELETE, RECEIVE):
        status.took(operation)
        assert status.in_use
    assert said(caplog) == [IN_USE]


def test_a_reason_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    status = FastPathStatus()
    for _ in range(2):
        status.declined("a proxy is set")
    status.declined("a proxy is set", DELETE)
    assert not status.in_use
    assert said(caplog) == [not_in_use("a proxy is set")]


def test_it_is_not_in_use_if_one_operation_is_declined(caplog: pytest.LogCaptureFixture) -> None:
    status = FastPathStatus()
    status.took(RECEIVE)
    status.declined("another body", DELETE)
    status.took(RECEIVE)
    assert not status.in_use
    assert said(caplog) == [IN_USE, not_in_use("another body")]


def test_three_calls_in_a_row_that_aiobotocore_had_to_make_count_as_not_in_use(
    caplog: pytest.LogCaptureFixture,
) -> None:
    status = FastPathStatus()
    status.took(RECEIVE)
    for _ in range(2):
        status.fell_back(RECEIVE, "no connection")
    status.took(RECEIVE)
    for _ in range(2):
        status.fell_back(RECEIVE, "no connection")
    assert status.in_use
    status.fell_back(RECEIVE, "no connection")
    assert not status.in_use
    status.took(RECEIVE)
    assert status.in_use
    assert said(caplog) == [IN_USE, not_in_use("no connection"), IN_USE]
