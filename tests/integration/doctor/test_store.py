"""What `doctor` says of the history's store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from sse_service.doctor.report import Finding, Level
from sse_service.doctor.store import check_store
from sse_service.settings.settings import Settings
from tests.integration.doctor.deployment import Output, fails_alone
from tests.integration.tls import certificates, tls_proxy
from tests.integration.until import until
from tests.integration.valkey import Valkey
from tests.ports import free_port


def test_a_valkey_that_is_unreachable_or_evicts_keys_fails(doctor: Callable[..., Output]) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    fails_alone(doctor(SSE_BROKER_URL=away), "store", "does not answer", "security groups")
    with Valkey("--maxmemory-policy", "allkeys-lru") as valkey:
        fails_alone(doctor(SSE_BROKER_URL=valkey.url), "store", "allkeys-lru", "parameter group")


def store_finding(url: str, **settings: Any) -> Finding:
    async def inside() -> Finding:
        before = descriptors()
        [found] = await check_store(Settings(broker_url=SecretStr(url), **settings))
        # The event loop must run until TLS has closed its connection in the background.
        await until(lambda: descriptors() <= before)
        return found

    found = asyncio.run(inside())
    assert "a-password" not in found.line
    return found


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_a_store_with_too_little_memory_is_told_how_much_it_needs() -> None:
    with Valkey("--maxmemory", "256mb") as valkey:
        found = store_finding(valkey.url)
        assert found.level is Level.OK
        assert "noeviction, round trip" in found.text
        assert "raise it" in store_finding(valkey.url, history_bytes=2**29).fix


def test_problems_of_passwords_and_of_tls_have_different_lines(tmp_path: Path) -> None:
    with Valkey("--maxmemory", "256mb", "--requirepass", "a-password-of-the-tests") as valkey:
        assert store_finding(valkey.url, broker_password=SecretStr("a-password-of-the-tests")).level is Level.OK
        for wrong in (None, SecretStr("a-password-of-another")):
            assert "AUTH" in store_finding(valkey.url, broker_password=wrong).text
        right = f"redis://:a-password-of-the-tests@127.0.0.1:{valkey.port}/0"
        authority, certificate = certificates(tmp_path)
        with tls_proxy(valkey.port, certificate) as port:
            plain = right.replace(str(valkey.port), str(port))
            by_tls = plain.replace("redis:", "rediss:")
            assert "certificate is not trusted" in store_finding(by_tls).text
            assert store_finding(f"{by_tls}?ssl_ca_certs={authority}").level is Level.OK
            assert "needs rediss://" in store_finding(plain).fix
        assert "without TLS" in store_finding(right.replace("redis:", "rediss:")).fix
