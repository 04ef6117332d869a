"""The checks of the settings, the region and the limit of file descriptors."""

from __future__ import annotations

import logging

import pytest

from sse_service.doctor.environment import check_descriptors, check_region, check_settings
from sse_service.doctor.report import Level
from sse_service.http.descriptors import connections_within, streams_within
from sse_service.settings.settings import Settings


def test_settings_that_serve_refuses_fail_with_its_reason() -> None:
    assert check_settings(Settings(), None).level is Level.OK
    assert check_settings(Settings(broker_url="redis://a"), None).level is Level.OK
    assert "SSE_X: must be set" in check_settings(Settings(), "SSE_X: must be set").text


@pytest.mark.parametrize(("limit", "streams"), [(11_300, 10_000), (1024, 831), (1024, 832), (1_048_576, 10**6)])
def test_descriptors_are_checked_as_serve_counts_them(
    limit: int, streams: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        held = streams_within(connections_within(limit), streams)
    assert (check_descriptors(limit, streams).level is Level.OK) is (held == streams)


def test_a_limit_that_keeps_serve_from_starting_fails() -> None:
    assert check_descriptors(150, 1).level is Level.FAIL


def test_the_suggested_limit_is_enough_and_no_more() -> None:
    found = check_descriptors(1024, 10_000)
    assert "nofile ulimit to 11212" in found.fix
    assert check_descriptors(11_212, 10_000).level is Level.OK
    assert check_descriptors(11_211, 10_000).level is Level.FAIL
    assert "SSE_MAX_STREAMS=831" in found.fix


def test_a_missing_region_or_profile_fails() -> None:
    assert check_region("eu-west-1", None).text == "eu-west-1"
    assert "AWS_REGION" in check_region(None, None).fix
    assert check_region(None, "The config profile (x) could not be found").level is Level.FAIL
