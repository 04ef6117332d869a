"""A back end that says who sent a request, for tests of ``SSE_AUTHORIZER_URL``.

``python -m tests.integration.authorizer_backend --port 0`` runs it as a process. It prints its address. The cookie
``as`` decides what it answers: the name of a fault below, or the user. ``GET /seen?text=…`` lists the requests it got.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gzip
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from aiohttp import web

GOOD = {"user": "42", "groups": ["ops"], "expires_in": 900}


def body(value: object) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answer 200 with this: bytes as they are, anything else as JSON."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=raw, content_type="application/json")

    return answer


def status(number: int, **headers: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answer with this status, and a good user as the body."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(GOOD, status=number, headers=headers)

    return answer


async def hang(_: web.Request) -> web.StreamResponse:
    """Answer after 30 s."""
    await asyncio.sleep(30)
    return web.json_response(GOOD)


async def drip(request: web.Request) -> web.StreamResponse:
    """Send a good answer, one byte in half a second."""
    response = web.StreamResponse()
    await response.prepare(request)
    for byte in json.dumps(GOOD).encode():
        await response.write(bytes([byte]))
        await asyncio.sleep(0.5)
    return response


async def slow(_: web.Request) -> web.StreamResponse:
    """Answer after half a second, so that other requests come in between."""
    await asyncio.sleep(0.5)
    return web.json_response(GOOD)


async def bomb(_: web.Request) -> web.StreamResponse:
    """Send 100 MB of white space and a good answer, compressed to 100 kB, whatever the request accepts."""
    return web.Response(body=_bomb(), content_type="application/json", headers={"Content-Encoding": "gzip"})


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(b" " * 100_000_000 + json.dumps(GOOD).encode())


async def packed(_: web.Request) -> web.StreamResponse:
    """Send a small good answer, compressed."""
    return web.Response(body=gzip.compress(json.dumps(GOOD).encode()), headers={"Content-Encoding": "gzip"})


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    """Send white space without an end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65_536)


FAULTS = {
    "html": body(b"<!doctype html><title>Sign in</title>"),
    "empty": body(b""),
    "two-documents": body(json.dumps(GOOD).encode() * 2),
    "nan": body(b'{"user":"42","expires_in":NaN}'),
    "list": body([GOOD]),
    "no-user": body({"expires_in": 900}),
    "null-user": body({"user": None, "expires_in": 900}),
    "true-user": body({"user": True, "expires_in": 900}),
    "object-user": body({"user": {"id": "42"}, "expires_in": 900}),
    "empty-user": body({"user": "", "expires_in": 900}),
    "padded-user": body({"user": "42 ", "expires_in": 900}),
    "surrogate-user": body(b'{"user":"\\ud83d","expires_in":900}'),
    "long-user": body({"user": "4" * 1025, "expires_in": 900}),
    "megabyte-user": body({"user": "4" * 1_000_000, "expires_in": 900}),
    "text-groups": body({"user": "42", "groups": "ops", "expires_in": 900}),
    "object-groups": body({"user": "42", "groups": {"ops": True}, "expires_in": 900}),
    "true-group": body({"user": "42", "groups": ["ops", True], "expires_in": 900}),
    "no-expiry": body({"user": "42"}),
    "text-expiry": body({"user": "42", "expires_in": "900"}),
    "true-expiry": body({"user": "42", "expires_in": True}),
    "past-expiry": body({"user": "42", "expires_in": 0}),
    "unix-time-expiry": body({"user": "42", "expires_in": 1_900_000_000}),
    "large-answer": body({**GOOD, "name": "x" * 65_536}),
    "redirect": status(302, Location="/sign-in?as=42"),
    "permanent-redirect": status(308, Location="/sign-in?as=42"),
    "created": status(201),
    "no-content": status(204),
    "not-found": status(404),
    "proxy-password": status(407),
    "timeout": status(408),
    "too-many": status(429),
    "error": status(500),
    "unavailable": status(503),
    "hang": hang,
    "drip": drip,
    "bomb": bomb,
    "packed": packed,
    "endless": endless,
    "hang-up": hang_up,
}
"""What is no answer: the service must neither admit nor refuse the client, but tell it to come back."""

OTHERS = {
    "signed-out": status(401),
    "not-allowed": status(403),
    "many-groups": body({"user": "42", "groups": [str(number) for number in range(101)], "expires_in": 900}),
    "slow": slow,
    "bad-request": status(400),
    "too-large": status(431),
    "sets-a-cookie": status(200, **{"Set-Cookie": "as=7; Path=/"}),
    "integers": body({"user": 42, "groups": [7, "ops"], "expires_in": 0.9e3, "name": "Ann"}),
    "long-answer": body({**GOOD, "name": "x" * 65_000}),
    "brief": body({**GOOD, "expires_in": 1.5}),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A request."""

    method: str
    path: str
    port: int
    """The port that it came from."""
    headers: list[tuple[str, str]]


class Backend:
    """Answers, and remembers what it was asked."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []

    async def seen(self, request: web.Request) -> web.Response:
        """List the requests with this text in a header, the first one first."""
        text = request.query["text"]
        found = [each for each in self._seen if any(text in value for _, value in each.headers)]
        return web.json_response([asdict(each) for each in found])

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        port = request.transport.get_extra_info("peername")[1]
        headers = [(name.decode().lower(), value.decode("latin-1")) for name, value in request.raw_headers]
        self._seen.append(Seen(request.method, request.path, port, headers))
        who = request.cookies.get("as", "")
        kind, _, _ = who.partition(".")
        if answer := (FAULTS | OTHERS).get(kind):
            return await answer(request)
        scheme, _, name = request.headers.get("Authorization", "").partition(" ")
        user = who or (name if scheme == "App" else "")
        return web.json_response({**GOOD, "user": user}) if user else web.Response(status=401, text="secret details")


async def serve(port: int) -> None:
    """Serve until the process ends."""
    backend = Backend()
    app = web.Application()
    app.router.add_get("/seen", backend.seen)
    app.router.add_route("*", "/{path:.*}", backend)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args().port))
