"""What a Valkey or Redis server must be, and what its user must be allowed, for events to be safe in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from redis.exceptions import NoPermissionError

from sse_service.brokers.valkey.pipeline import CALL_SECONDS, send
from sse_service.model.errors import InvalidSettings, Unavailable

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

MIN_VERSION = 7
"""Scripts declare in their first line what they may do when memory is full. Older servers do not read that line."""

COMMANDS = (
    *("info", "ping", "select", "client|setinfo"),
    *("subscribe", "unsubscribe", "publish"),
    *("eval", "evalsha", "time", "scan", "rename", "unlink"),
    *("hget", "hset", "hdel", "hlen", "hkeys", "hmget"),
    *("zadd", "zrem", "zcard", "zrange", "zrangebyscore"),
    *("xadd", "xdel", "xlen", "xrange"),
)
"""Commands that the service sends, its scripts included. ``ping`` is ``doctor``'s; ``select`` is for a database other
than 0; ``client|setinfo`` tells the server the library's name, and its refusal is ignored."""

ACL_RULES = " ".join(("~{sse}:*", "&{sse}:*", "-@all", *(f"+{command}" for command in COMMANDS)))
"""The rights that the server's user needs, as ``ACL SETUSER`` takes them: keys, pub/sub channels, commands."""

NO_PERMISSION = "the server's user lacks a permission"


async def run_id(connection: AbstractConnection) -> str:
    """Return the id of the server's run. Raises InvalidSettings if the server must not be used, and Unavailable.

    Every connection asks this first: one host name can lead to another server each time.
    """
    async with asyncio.timeout(CALL_SECONDS):
        await send(connection, "INFO")
        info = parse(await connection.read_response(disable_decoding=True))
    if problem := unmet(info):
        raise InvalidSettings(f"SSE_BROKER_URL: {problem}")
    if info.get("role", "master") != "master":
        raise Unavailable("the server is a replica")
    if not info.get("run_id"):
        raise Unavailable("the server does not say which run of it answers")
    return info["run_id"]


def parse(text: bytes) -> dict[str, str]:
    """Read the fields of an answer to INFO."""
    pairs = (line.partition(":") for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, _, value in pairs}


def unmet(info: dict[str, str]) -> str | None:
    """Return which requirement the server does not meet; None if it meets all."""
    version = info.get("valkey_version") or info.get("redis_version", "0")
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < MIN_VERSION:
        return f"the server has version {version}: Valkey or Redis {MIN_VERSION} or newer is needed"
    # Redis and Valkey have different names for it.
    if "cluster" in (info.get("redis_mode"), info.get("server_mode")):
        return "the server is in cluster mode, which is not supported: one order of all events needs one server"
    if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
        return f"the server's maxmemory-policy is {policy} and must be noeviction: others remove history unseen"
    return None


def lacks_permission(error: BaseException) -> bool:
    """Whether an ACL rule is missing. For a command inside a script the server says so in its text only."""
    return isinstance(error, NoPermissionError) or str(error).startswith("ACL failure in script")
