"""The check of the store's server: its properties, and reasons why it cannot be reached."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from sse_service.doctor.report import Level
from sse_service.doctor.store import Server, check_server, check_store, explain_error
from sse_service.settings.settings import Settings

INFO = {
    "redis_version": "7.2.4",
    "valkey_version": "9.1.0",
    "server_mode": "standalone",
    "role": "master",
    "maxmemory": str(128 * 1024 * 1024),
    "maxmemory_policy": "noeviction",
}


def test_the_memory_store_needs_no_server() -> None:
    [found] = asyncio.run(check_store(Settings()))
    assert found.level is Level.OK


def test_a_suitable_server_is_named_with_its_round_trip() -> None:
    [found] = check_server(Server(INFO, 0.42), Settings())
    assert found.level is Level.OK
    assert "Valkey 9.1.0, primary, noeviction, round trip 0.4 ms" in found.text
    assert "Redis 7.2.4" in check_server(Server({**INFO, "valkey_version": ""}, 1), Settings())[0].text


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
def test_an_unsuitable_server_is_refused_or_warned_about(changed: dict[str, str], level: Level, word: str) -> None:
    [found] = check_server(Server({**INFO, **changed}, 1), Settings())
    assert found.level is level
    assert word in found.line


def test_a_slow_round_trip_is_a_warning() -> None:
    [found] = check_server(Server(INFO, 80), Settings())
    assert (found.level, "80 ms" in found.text) == (Level.WARN, True)


def caused_by(error: Exception) -> RedisError:
    """Return the exception that redis-py raises while it handles the error."""
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
        (caused_by(ssl.SSLCertVerificationError()), "not trusted"),
        (caused_by(ssl.SSLError()), "a server without TLS needs redis://"),
        (caused_by(ConnectionRefusedError()), "ConnectionRefusedError"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_each_reason_why_the_server_cannot_be_asked_has_its_own_line(error: Exception, word: str) -> None:
    found = explain_error(error, tls=False)
    assert found.level is Level.FAIL
    assert word in found.line
    assert "secret.example.com" not in found.line
