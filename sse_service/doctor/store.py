"""``store``: where history is kept, in the process or in a Valkey or Redis server."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.doctor.report import Finding, fail, ok, warn
from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from sse_service.settings.settings import Settings

SLOW_MILLISECONDS = 20
"""A slower round trip gets a warning, because each event waits for one."""

ROUND_TRIPS = 5
"""How many round trips are measured. The shortest counts, because the first includes more than the network."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Valkey or Redis server that answered."""

    info: dict[str, str]
    """The fields of INFO."""
    milliseconds: float
    """The duration of a round trip."""


async def check_store(settings: Settings) -> list[Finding]:
    """Check the server in ``SSE_BROKER_URL``, if there is one."""
    if settings.in_memory:
        return [ok("store", "memory://, in the process: after a deploy every page gets a gap")]
    try:
        from sse_service.brokers.valkey.link import CONNECTION_ERRORS
    except ImportError:
        return [fail("store", "the redis package is not installed", "pip install 'sse-service[redis]'")]
    try:
        return check_server(await _ask(settings.store_url), settings)
    except (Unavailable, *CONNECTION_ERRORS) as error:
        return [explain_error(error, tls=settings.store_url.startswith("rediss://"))]


async def _ask(url: str) -> Server:
    from sse_service.brokers.valkey.link import connect
    from sse_service.brokers.valkey.pipeline import Pipeline
    from sse_service.brokers.valkey.requirements import parse_info

    async with connect(url) as link:
        pipeline = Pipeline(link)
        info = parse_info(await pipeline.call("INFO"))
        trips = []
        for _ in range(ROUND_TRIPS):
            began = time.perf_counter()
            await pipeline.call("PING")
            trips.append(time.perf_counter() - began)
    return Server(info, min(trips) * 1000)


def check_server(server: Server, settings: Settings) -> list[Finding]:
    """Check a server that answered."""
    from sse_service.brokers.valkey.requirements import unmet_requirement

    info = server.info
    if problem := unmet_requirement(info):
        return [fail("store", problem, "use another parameter group or server: `serve` refuses this one")]
    if info.get("role", "master") != "master":
        return [fail("store", "the server is a replica", "set SSE_BROKER_URL to the primary's endpoint")]
    found = _check_memory(int(info.get("maxmemory", "0") or 0), settings.history_bytes)
    if server.milliseconds > SLOW_MILLISECONDS:
        text = f"a round trip takes {server.milliseconds:.0f} ms, and each event waits for one"
        found.append(warn("store", text, "move it into the tasks' region and network"))
    version = info.get("valkey_version") or info.get("redis_version")
    name = "Valkey" if info.get("valkey_version") else "Redis"
    said = f"{name} {version}, primary, noeviction, round trip {server.milliseconds:.1f} ms"
    return found or [ok("store", f"{said}, maxmemory at least twice SSE_HISTORY_BYTES")]


def _check_memory(maxmemory: int, history: int) -> list[Finding]:
    if maxmemory == 0:
        text = "the server has no maxmemory: its data may use up the machine's memory"
        return [warn("store", text, f"set it to {2 * history} or more")]
    if maxmemory >= 2 * history:
        return []
    fix = f"raise it to {2 * history}, or lower SSE_HISTORY_BYTES to {maxmemory // 2}"
    if maxmemory < history:
        text = f"maxmemory {maxmemory} is less than SSE_HISTORY_BYTES {history}: publishing stops when it is full"
        return [fail("store", text, fix)]
    text = f"maxmemory {maxmemory} is less than twice SSE_HISTORY_BYTES {history}: event ids need room as well"
    return [warn("store", text, fix)]


def explain_error(error: BaseException, *, tls: bool) -> Finding:
    """Say why the server could not be reached. The library's text is not shown: it contains the server's address."""
    from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

    from sse_service.brokers.valkey.requirements import ACL_RULES

    chain = _causes(error)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        fix = "name the CA in the URL (?ssl_ca_certs=/path/ca.pem), and use the host name that the certificate has"
        return fail("store", "TLS: the server's certificate is not trusted", fix)
    # A handshake that takes too long is a ConnectionAbortedError.
    if any(isinstance(each, ssl.SSLError | ConnectionAbortedError) for each in chain):
        return fail("store", "TLS: the handshake failed", "a server without TLS needs redis://")
    if any(isinstance(each, NoPermissionError) for each in chain):
        return fail("store", "AUTH: the user lacks a permission", f"give it these with ACL SETUSER: {ACL_RULES}")
    if any(isinstance(each, AuthenticationError) or "NOAUTH" in str(each) for each in chain):
        return fail("store", "AUTH: the server refuses the user or the password", "check SSE_BROKER_PASSWORD")
    if any(isinstance(each, ResponseError) for each in chain):
        return fail("store", "the server refuses the command or the database", "check the URL's database number")
    hint = (
        "a server without TLS needs redis://" if tls else "a server with TLS (ElastiCache in transit) needs rediss://"
    )
    fix = f"check SSE_BROKER_URL and the security groups of both; {hint}"
    named = [type(each).__name__ for each in chain if not isinstance(each, asyncio.CancelledError)]
    return fail("store", f"the server does not answer ({named[-1]})", fix)


def _causes(error: BaseException) -> list[BaseException]:
    """Return the exception and its causes."""
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or each.__context__
    return found
