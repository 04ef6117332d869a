"""What is said of the settings, the store, and the limit of file descriptors."""

from __future__ import annotations

import logging
import ssl

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from sse_service.doctor.host import judge_descriptors, judge_settings
from sse_service.doctor.report import Level
from sse_service.doctor.store import Server, judge_fault, judge_memory, judge_server
from sse_service.http.descriptors import connections_within, streams_within
from sse_service.settings.settings import Settings

INFO = {
    "redis_version": "7.2.4",
    "valkey_version": "9.1.0",
    "server_mode": "standalone",
    "role": "master",
    "maxmemory": str(128 * 1024 * 1024),
    "maxmemory_policy": "noeviction",
}


def test_settings() -> None:
    assert judge_settings(Settings(), None).level is Level.OK
    assert judge_settings(Settings(broker_url="redis://a"), None).level is Level.OK
    assert "SSE_X: must be set" in judge_settings(Settings(), "SSE_X: must be set").text


@pytest.mark.parametrize(("limit", "streams"), [(11_300, 10_000), (1024, 831), (1024, 832), (1_048_576, 10**6)])
def test_descriptors_are_judged_as_serve_counts_them(
    limit: int, streams: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        held = streams_within(connections_within(limit), streams)
    assert (judge_descriptors(limit, streams).level is Level.OK) is (held == streams)


def test_a_limit_with_which_serve_does_not_start_is_a_failure() -> None:
    assert judge_descriptors(150, 1).level is Level.FAIL


def test_the_limit_that_is_asked_for_is_enough_and_no_more() -> None:
    found = judge_descriptors(1024, 10_000)
    assert "nofile to 11212" in found.do
    assert judge_descriptors(11_212, 10_000).level is Level.OK
    assert judge_descriptors(11_211, 10_000).level is Level.FAIL
    assert "SSE_MAX_STREAMS=831" in found.do


def test_memory() -> None:
    assert judge_memory().level is Level.OK


def test_a_server_that_is_as_it_must_be() -> None:
    [found] = judge_server(Server(INFO, 0.42), Settings())
    assert found.level is Level.OK
    assert "Valkey 9.1.0, primary, noeviction, round trip 0.4 ms" in found.text
    assert "Redis 7.2.4" in judge_server(Server({**INFO, "valkey_version": ""}, 1), Settings())[0].text


@pytest.mark.parametrize(
    ("changed", "level", "word"),
    [
        ({"maxmemory_policy": "volatile-lru"}, Level.FAIL, "volatile-lru"),
        ({"server_mode": "cluster"}, Level.FAIL, "cluster mode"),
        ({"valkey_version": "", "redis_version": "6.2.0"}, Level.FAIL, "6.2.0"),
        ({"role": "slave"}, Level.FAIL, "replica"),
        ({"maxmemory": "0"}, Level.WARN, "no maxmemory"),
        ({"maxmemory": str(64 * 1024 * 1024 - 1)}, Level.FAIL, "publishing stops"),
        ({"maxmemory": str(64 * 1024 * 1024)}, Level.WARN, "less than twice"),
    ],
)
def test_a_server_that_is_not(changed: dict[str, str], level: Level, word: str) -> None:
    [found] = judge_server(Server({**INFO, **changed}, 1), Settings())
    assert found.level is level
    assert word in found.line


def test_a_server_that_is_far_away() -> None:
    [found] = judge_server(Server(INFO, 80), Settings())
    assert (found.level, "80 ms" in found.text) == (Level.WARN, True)


def behind(error: Exception) -> RedisError:
    """As redis-py raises it: in the handler of the error itself."""
    raised = RedisError("Error 1 connecting to secret.example.com:6379")
    raised.__context__ = error
    return raised


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (AuthenticationError("invalid username-password pair"), "the user or the password"),
        (ResponseError("NOAUTH Authentication required."), "the user or the password"),
        (NoPermissionError("NOPERM"), "lacks a permission"),
        (ResponseError("DB index is out of range"), "database"),
        (behind(ssl.SSLCertVerificationError()), "not trusted"),
        (behind(ssl.SSLError()), "redis:// where it has no TLS"),
        (behind(ConnectionRefusedError()), "ConnectionRefusedError"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_server_that_does_not_answer_or_refuses(error: Exception, word: str) -> None:
    found = judge_fault(error, tls=False)
    assert found.level is Level.FAIL
    assert word in found.line
    assert "secret.example.com" not in found.line
