"""``client.js`` is small, is served with a strong ETag, and can be imported from other origins."""

import asyncio
import gzip
from pathlib import Path
from typing import cast
from unittest.mock import AsyncMock

import httpx
import pytest

from sse_service.client.files import CLIENT, client_route
from sse_service.http.app import create_app
from sse_service.http.probes import Probes
from sse_service.http.session import Session
from sse_service.telemetry.health import Health

PAGE = "https://app.example.com"


def get(**headers: str) -> httpx.Response:
    app = create_app(
        streams={},
        session=cast(Session, AsyncMock()),
        probes=Probes(health=Health(dependencies={})),
        cors_origins=[PAGE],
        extra_routes=[client_route()],
    )

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://push.test") as browser:
            return await browser.get("/client.js", headers={name.replace("_", "-"): v for name, v in headers.items()})

    return asyncio.run(ask())


def test_the_client_has_at_most_6000_bytes_compressed() -> None:
    assert len(gzip.compress(CLIENT.read_bytes(), 9)) <= 6000


def test_the_client_is_served_as_a_module_that_is_asked_for_anew() -> None:
    answer = get()
    assert answer.status_code == 200
    assert answer.text == CLIENT.read_text()
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["etag"].startswith('"')


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_a_browser_that_has_the_client_gets_no_body(form: str) -> None:
    etag = get().headers["etag"]
    answer = get(if_none_match=form.format(etag))
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)


@pytest.mark.parametrize("asked", ["gzip", "gzip, deflate, br, zstd", "br;q=1, GZIP ; q=0.5"])
def test_the_client_is_compressed_for_who_takes_gzip(asked: str) -> None:
    answer = get(accept_encoding=asked)
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) <= 6000
    assert answer.text == CLIENT.read_text()
    assert "Accept-Encoding" in answer.headers["vary"]


@pytest.mark.parametrize("asked", ["identity", "br", "gzip;q=0", "gzip; q=0.000, br", ""])
def test_the_client_is_not_compressed_for_who_does_not_take_gzip(asked: str) -> None:
    answer = get(accept_encoding=asked)
    assert "content-encoding" not in answer.headers
    assert "Accept-Encoding" in answer.headers["vary"]
    assert answer.headers["etag"] != get(accept_encoding="gzip").headers["etag"]


def test_a_browser_that_has_another_client_gets_this_one() -> None:
    assert get(if_none_match='"other"').status_code == 200


def test_only_pages_of_allowed_origins_may_import_the_client() -> None:
    assert get(origin=PAGE).headers["access-control-allow-origin"] == PAGE
    assert "access-control-allow-origin" not in get(origin="https://evil.example").headers


def test_the_package_has_its_three_files_side_by_side() -> None:
    assert {"client.js", "client.d.ts", "package.json"} <= {path.name for path in Path(CLIENT).parent.iterdir()}
