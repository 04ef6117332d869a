"""The demo's back end: sign-in, tokens, uploads and jobs, and who may use them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sse_service.auth.tokens.hs256 import HS256Verifier
from sse_service.auth.tokens.signing import TokenSigner
from sse_service.dev.backend import MAX_UPLOAD_BYTES, Backend
from sse_service.dev.jobs import Job, Jobs, State
from sse_service.dev.traffic import Traffic

SECRET = "s" * 32
SIGNER = TokenSigner(secret=SECRET)
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
ID = "0123456789abcdef" * 2


class Bucket:
    """Keeps the objects that are put into it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.unavailable = False

    async def put_object(self, **put: Any) -> None:
        if self.unavailable:
            raise ConnectionRefusedError
        assert put["Bucket"] == "uploads"
        self.objects[put["Key"]] = put["Body"].read()


class Demo:
    """A back end, and browsers that use it."""

    def __init__(self) -> None:
        self.jobs, self.bucket, self.traffic = Jobs(), Bucket(), Traffic()
        backend = Backend(signer=SIGNER, jobs=self.jobs, s3=self.bucket, bucket="uploads", traffic=self.traffic)
        self.transport = httpx.ASGITransport(Starlette(routes=backend.routes()))

    def browser(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=self.transport, base_url="http://demo.test", headers={**SAME_ORIGIN, **headers}
        )


Test = Callable[[Demo, httpx.AsyncClient], Awaitable[None]]


def run(test: Test) -> None:
    async def inside() -> None:
        demo = Demo()
        async with demo.browser() as browser:
            await test(demo, browser)

    asyncio.run(inside())


async def sign_in(browser: httpx.AsyncClient, user: str = "ann") -> httpx.Response:
    return await browser.post("/demo/login", json={"user": user})


def test_signing_in_sets_a_cookie_that_scripts_cannot_read() -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        answer = await sign_in(browser)
        assert answer.json() == {"user": "ann"}
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/demo" in cookie

    run(test)


def test_a_signed_in_user_gets_a_token_that_the_push_service_accepts() -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        await sign_in(browser, "Zoë & co")
        answer = (await browser.post("/demo/token", json={})).json()
        assert (answer["user"], answer["expires_in"]) == ("Zoë & co", 900)
        assert (await HS256Verifier(secrets=[SECRET]).verify(answer["token"])).user == "Zoë & co"

    run(test)


def test_the_back_end_does_not_accept_a_push_token_as_its_session() -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        browser.cookies.set("demo_session", SIGNER.sign("ann"))
        assert (await browser.get("/demo/jobs")).status_code == 401

    run(test)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/demo/token"), ("GET", "/demo/jobs"), ("PUT", f"/demo/uploads/{ID}/a.txt")]
)
def test_without_signing_in_nothing_is_allowed(method: str, path: str) -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        answer = await browser.request(method, path, json={})
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert demo.bucket.objects == {}

    run(test)


def test_signing_out_ends_the_session() -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        await sign_in(browser)
        assert (await browser.post("/demo/logout", json={})).status_code == 204
        assert (await browser.post("/demo/token", json={})).status_code == 401

    run(test)


@pytest.mark.parametrize(
    "body",
    [{}, [], "ann", {"user": 42}, *({"user": u} for u in ("", " ann", "a/b", "a\n", "a\0", ".", "..", "u" * 65))],
)
def test_a_bad_user_name_is_refused(body: Any) -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        answer = await browser.post("/demo/login", json=body)
        assert answer.status_code == 400
        assert "set-cookie" not in answer.headers

    run(test)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [(b"{", "application/json", 400), (b"{}", "text/plain", 415), (b" " * 5000, "application/json", 413)],
)
def test_a_body_that_is_not_small_json_is_refused(content: bytes, kind: str, status: int) -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        answer = await browser.post("/demo/login", content=content, headers={"Content-Type": kind})
        assert answer.status_code == status
        assert answer.json()["detail"]

    run(test)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_cannot_act_for_the_user(site: str) -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        await sign_in(browser)
        foreign = {"Sec-Fetch-Site": site, "Origin": "https://evil.test"}
        for method, path in (("PUT", f"/demo/uploads/{ID}/a"), ("POST", "/demo/login"), ("POST", "/demo/token")):
            assert (await browser.request(method, path, json={}, headers=foreign)).status_code == 403
        assert demo.bucket.objects == {}

    run(test)


def test_an_upload_is_stored_under_the_users_key_and_waits() -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        await sign_in(browser, "Zoë")
        answer = await browser.put(f"/demo/uploads/{ID}/a%20b%25%2B.txt", content=b"text")
        assert answer.status_code == 201
        [(key, content)] = demo.bucket.objects.items()
        assert (key, content) == (f"users/Zoë/{ID}/a b%+.txt", b"text")
        [job] = (await browser.get("/demo/jobs")).json()["jobs"]
        assert answer.json() == job
        assert (job["job"], job["name"], job["state"]) == (ID, "a b%+.txt", "waiting")

    run(test)


def test_an_upload_whose_notification_came_first_stays_in_processing() -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        await sign_in(browser)
        demo.jobs.update(Job(id=ID, user="ann", name="a.txt", key="k", state=State.PROCESSING, progress=10))
        assert (await browser.put(f"/demo/uploads/{ID}/a.txt", content=b"text")).status_code == 201
        assert demo.jobs.of("ann")[0].state is State.PROCESSING

    run(test)


def test_two_uploads_of_one_name_do_not_replace_each_other() -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        await sign_in(browser)
        for number in "12":
            await browser.put(f"/demo/uploads/{number * 32}/a.txt", content=b"text")
        assert len(demo.bucket.objects) == len(demo.jobs.of("ann")) == 2

    run(test)


@pytest.mark.parametrize("declared", [True, False])
def test_a_file_over_the_limit_is_refused_with_and_without_its_length_declared(declared: bool) -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        async def chunks() -> Any:
            for _ in range(MAX_UPLOAD_BYTES // 2**20):
                yield bytes(2**20)
            yield b"x"

        await sign_in(browser)
        headers = {"Content-Length": str(MAX_UPLOAD_BYTES + 1)} if declared else {}
        answer = await browser.put(f"/demo/uploads/{ID}/a", content=chunks(), headers=headers)
        assert answer.status_code == 413
        assert demo.bucket.objects == {}
        assert demo.jobs.of("ann") == []

    run(test)


@pytest.mark.parametrize("name", ["a%0Ab", "n" * 256])
def test_a_bad_file_name_is_refused(name: str) -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        await sign_in(browser)
        assert (await browser.put(f"/demo/uploads/{ID}/{name}", content=b"x")).status_code == 400

    run(test)


@pytest.mark.parametrize("upload_id", ["1", "g" * 32, "0" * 33, "A" * 32])
def test_a_bad_upload_id_is_refused(upload_id: str) -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        await sign_in(browser)
        assert (await browser.put(f"/demo/uploads/{upload_id}/a.txt", content=b"x")).status_code == 400

    run(test)


def test_a_file_that_could_not_be_stored_is_an_error_and_no_job() -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        await sign_in(browser)
        demo.bucket.unavailable = True
        assert (await browser.put(f"/demo/uploads/{ID}/a", content=b"x")).status_code == 502
        assert demo.jobs.of("ann") == []

    run(test)


def test_a_user_gets_their_own_jobs_only() -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        for user in ("ann", "bob"):
            demo.jobs.update(Job(id=f"of-{user}", user=user, name="a.txt", key="k"))
        await sign_in(browser)
        answer = await browser.get("/demo/jobs")
        assert answer.headers["cache-control"] == "no-store"
        assert [job["job"] for job in answer.json()["jobs"]] == ["of-ann"]

    run(test)


@pytest.mark.parametrize("path", ["/", "/demo/page/page.css", "/demo/page/page.js"])
def test_the_page_allows_only_its_own_scripts(path: str) -> None:
    async def test(demo: Demo, browser: httpx.AsyncClient) -> None:
        answer = await browser.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert answer.headers["x-content-type-options"] == "nosniff"

    run(test)
