"""The status of the fast path, and its log lines: one for each change."""

from __future__ import annotations

import logging

import pytest

from consumers.sqs.fast.status import FastPathStatus

RECEIVE, DELETE = "ReceiveMessage", "DeleteMessageBatch"


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consumers.sqs.fast.status")


def log_lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def not_in_use(reason: str) -> tuple[str, str]:
    return ("WARNING", f"the fast SQS path is not in use: {reason}; calls cost about four times the CPU")


IN_USE = ("INFO", "the fast SQS path is in use")


def test_the_fast_path_is_not_in_use_before_the_first_call(caplog: pytest.LogCaptureFixture) -> None:
    assert not FastPathStatus().in_use
    assert log_lines(caplog) == []


def test_the_use_of_the_fast_path_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    status = FastPathStatus()
    for operation in (RECEIVE, DELETE, RECEIVE):
        status.took(operation)
        assert status.in_use
    assert log_lines(caplog) == [IN_USE]


def test_a_reason_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    status = FastPathStatus()
    for _ in range(2):
        status.declined("a proxy is set")
    status.declined("a proxy is set", DELETE)
    assert not status.in_use
    assert log_lines(caplog) == [not_in_use("a proxy is set")]


def test_the_fast_path_is_not_in_use_if_one_operation_is_declined(caplog: pytest.LogCaptureFixture) -> None:
    status = FastPathStatus()
    status.took(RECEIVE)
    status.declined("another body", DELETE)
    status.took(RECEIVE)
    assert not status.in_use
    assert log_lines(caplog) == [IN_USE, not_in_use("another body")]


def test_after_three_fallbacks_in_a_row_the_fast_path_is_not_in_use(
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
    assert log_lines(caplog) == [IN_USE, not_in_use("no connection"), IN_USE]
