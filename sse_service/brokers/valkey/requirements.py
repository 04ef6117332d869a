"""Requirements for the Valkey or Redis server, and the permissions that its user needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.exceptions import NoPermissionError

from sse_service.model.errors import InvalidSettings, Unavailable

if TYPE_CHECKING:
    from sse_service.brokers.valkey.pipeline import Pipeline

MIN_VERSION = 7
"""Older servers ignore a script's first line, which declares what it may do when memory is full."""

COMMANDS = (
    *("info", "ping", "select", "client|setinfo"),
    *("subscribe", "unsubscribe", "publish"),
    *("eval", "evalsha", "time", "scan", "rename", "unlink"),
    *("hget", "hset", "hdel", "hlen", "hkeys", "hmget"),
    *("zadd", "zrem", "zcard", "zrange", "zrangebyscore"),
    *("xadd", "xdel", "xlen", "xrange"),
)
"""Commands that the service sends, including those in scripts.

Only ``doctor`` sends ``ping``. ``select`` is for databases other than 0. redis-py sends ``client|setinfo`` with its
name, and ignores a refusal."""

ACL_RULES = " ".join(("~{sse}:*", "&{sse}:*", "-@all", *(f"+{command}" for command in COMMANDS)))
"""The permissions that the server's user needs, for ``ACL SETUSER``: keys, pub/sub channels, commands."""

NO_PERMISSION = "the server's user lacks a permission"


async def run_id(pipeline: Pipeline) -> str:
    """Return the server's ``run_id``. Raises InvalidSettings if the server must not be used, and Unavailable.

    Called first on every connection, because a host name can lead to a different server each time.
    """
    info = parse_info(await pipeline.call("INFO"))
    if problem := unmet_requirement(info):
        raise InvalidSettings(f"SSE_BROKER_URL: {problem}")
    if info.get("role", "master") != "master":
        raise Unavailable("the server is a replica")
    if not info.get("run_id"):
        raise Unavailable("the server does not report its run_id")
    return info["run_id"]


def parse_info(text: bytes) -> dict[str, str]:
    """Parse the fields of an answer to INFO."""
    pairs = (line.partition(":") for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, _, value in pairs}


def unmet_requirement(info: dict[str, str]) -> str | None:
    """Return the requirement that the server does not meet; None if it meets all."""
    version = info.get("valkey_version") or info.get("redis_version", "0")
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < MIN_VERSION:
        return f"the server has version {version}: Valkey or Redis {MIN_VERSION} or newer is needed"
    # Redis and Valkey use different field names.
    if "cluster" in (info.get("redis_mode"), info.get("server_mode")):
        return "the server is in cluster mode, which is not supported: one order of all events needs one server"
    if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
        return (
            f"the server's maxmemory-policy is {policy} and must be noeviction: other policies silently remove history"
        )
    return None


def lacks_permission(error: BaseException) -> bool:
    """Whether the error is about a missing permission. For a command inside a script, only the text says so."""
    return isinstance(error, NoPermissionError) or str(error).startswith("ACL failure in script")
