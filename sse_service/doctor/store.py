"""Where history is kept."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from sse_service.settings.settings import Settings

SLOW_MILLISECONDS = 20
"""Each event waits for the store once: it must be near."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server said of itself."""

    info: dict[str, str]
    """The fields of INFO."""
    milliseconds: float
    """A round trip."""


def judge_memory() -> Finding:
    """History in the process."""
    return ok("store", "memory://, in the process: every page is told a gap after a deploy")


def judge_server(server: Server, settings: Settings) -> list[Finding]:
    """A server that answered."""
    from sse_service.brokers.valkey.requirements import unmet

    info = server.info
    if problem := unmet(info):
        do = "use another parameter group or server: `serve` refuses this one (deploy/README, Valkey)"
        return [fail("store", problem, do)]
    if info.get("role", "master") != "master":
        return [fail("store", "the server is a replica", "give SSE_BROKER_URL the primary's endpoint")]
    found = _memory(int(info.get("maxmemory", "0") or 0), settings.history_bytes)
    if server.milliseconds > SLOW_MILLISECONDS:
        text = f"a round trip takes {server.milliseconds:.0f} ms, and each event waits for one"
        found.append(warn("store", text, "put it into the tasks' region and network"))
    version = info.get("valkey_version") or info.get("redis_version")
    name = "Valkey" if info.get("valkey_version") else "Redis"
    said = f"{name} {version}, primary, noeviction, round trip {server.milliseconds:.1f} ms"
    return found or [ok("store", f"{said}, maxmemory at least twice SSE_HISTORY_BYTES")]


def _memory(most: int, history: int) -> list[Finding]:
    if most == 0:
        text = "the server has no maxmemory: what else is in it may push the machine out of memory"
        return [warn("store", text, f"set it, to {2 * history} or more")]
    if most < history:
        text = f"maxmemory {most} is less than SSE_HISTORY_BYTES {history}: publishing stops when it is full"
        return [fail("store", text, f"raise it to {2 * history}, or lower SSE_HISTORY_BYTES to {most // 2}")]
    if most < 2 * history:
        text = f"maxmemory {most} is less than twice SSE_HISTORY_BYTES {history}: ids of events need room as well"
        return [warn("store", text, f"raise it to {2 * history}, or lower SSE_HISTORY_BYTES to {most // 2}")]
    return []


def judge_fault(error: BaseException, *, tls: bool) -> Finding:
    """A server that could not be asked; the library's own words stay out, which hold its address."""
    from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

    from sse_service.brokers.valkey.requirements import ACL_RULES

    kinds = _chain(error)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in kinds):
        do = "name the CA in the URL (?ssl_ca_certs=/path/ca.pem), and the server as its certificate does"
        return fail("store", "TLS: the server's certificate is not trusted", do)
    if any(isinstance(each, ssl.SSLError) for each in kinds):
        return fail("store", "TLS: the server does not speak it as we do", "try redis:// where it has no TLS")
    if any(isinstance(each, NoPermissionError) for each in kinds):
        return fail("store", "AUTH: the user lacks a permission", f"give it these with ACL SETUSER: {ACL_RULES}")
    if any(isinstance(each, AuthenticationError) or "NOAUTH" in str(each) for each in kinds):
        return fail("store", "AUTH: the server refuses the user or the password", "look at SSE_BROKER_PASSWORD")
    if any(isinstance(each, ResponseError) for each in kinds):
        return fail("store", "the server refuses the command or the database", "look at the URL's database number")
    hint = "one without TLS needs redis://" if tls else "one with TLS (ElastiCache in transit) needs rediss://"
    do = f"look at SSE_BROKER_URL, and at the security groups of both; {hint}"
    named = [type(each).__name__ for each in kinds if not isinstance(each, asyncio.CancelledError)]
    return fail("store", f"the server does not answer ({named[-1]})", do)


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and those behind it."""
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or each.__context__
    return found
