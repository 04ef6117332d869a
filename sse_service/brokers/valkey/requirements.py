"""What a Valkey or Redis server must be like for history to be safe in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sse_service.brokers.valkey.link import CALL_SECONDS, send
from sse_service.model.errors import InvalidSettings, Unavailable

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

MIN_VERSION = 7
"""Scripts say by a first line what they may do when memory is out; older servers do not read it."""


async def run_id(link: AbstractConnection) -> str:
    """Give the id of this run of the server; raises InvalidSettings for one that must not be used, and Unavailable.

    Asked on each connection before anything else: behind one name there may be another server every time.
    """
    async with asyncio.timeout(CALL_SECONDS):
        await send(link, "INFO")
        info = parse(await link.read_response(disable_decoding=True))
    if problem := unfit(info):
        raise InvalidSettings(f"SSE_BROKER_URL: {problem}")
    if info.get("role", "master") != "master":
        raise Unavailable("the server is a replica")
    if not info.get("run_id"):
        raise Unavailable("the server does not say which run of it answers")
    return info["run_id"]


def parse(text: bytes) -> dict[str, str]:
    """The fields of an answer to INFO."""
    pairs = (line.partition(":") for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, _, value in pairs}


def unfit(info: dict[str, str]) -> str | None:
    """Why the server must not be used; None where it may."""
    version = info.get("valkey_version") or info.get("redis_version", "0")
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < MIN_VERSION:
        return f"the server has version {version}: Valkey or Redis {MIN_VERSION} or newer is needed"
    # Redis has one name for it, Valkey another
    if "cluster" in (info.get("redis_mode"), info.get("server_mode")):
        return "the server is in cluster mode, which is not supported: one order of all events needs one server"
    if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
        return f"the server's maxmemory-policy is {policy} and must be noeviction: others remove history unseen"
    return None
