"""Attacks with bad requests: too slow, too long, not HTTP, or more of them than the service reads."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable

from tests.faults.attack_target import Outcome, Target, all_ended, paced
from tests.faults.raw_clients import Peer, Stream, connect, connect_all, request
from tests.integration.until import until

HEAD_SECONDS = 10
"""How long the service waits for the head of a request."""

PATIENCE = 60.0
"""If the service has not cut a connection after this time, the attack counts as successful."""


async def slow_heads(target: Target, outcome: Outcome) -> None:
    """Heads that come one byte a second (slow-loris)."""
    peers = [Peer(b"GET /events HTTP/1.1\r\nHost: push\r\nX-Slow: ") for _ in range(target.count(1000))]
    outcome.sent = f"{len(peers)} connections, a byte a second each"
    outcome.begin()
    await connect_all(target.port, peers)
    end = time.monotonic() + max(target.seconds, HEAD_SECONDS + 5)
    while time.monotonic() < end and not all(peer.end for peer in peers):
        await asyncio.sleep(1)
        for peer in peers:
            peer.send(b"a")
    left = await all_ended(peers, PATIENCE)
    outcome.note(peers)
    outcome.expect("408")
    outcome.wrong += [f"{len(left)} were not cut"] if left else []


async def header_bombs(target: Target, outcome: Outcome) -> None:
    """Heads of more than 16 KiB, some of them endless."""
    begin = b"GET /events HTTP/1.1\r\nHost: push\r\n"
    cookies = b"".join(b"Cookie: c%d=%s\r\n" % (number, b"v" * 50) for number in range(500))
    bombs = {
        "lines without an end": (begin, b"X-More: %s\r\n" % (b"y" * 100) * 100),
        "a line without an end": (begin + b"X-Long: ", b"y" * 10_000),
        "a name without an end": (begin, b"y" * 10_000),
        "a path without an end": (b"GET /", b"y" * 10_000),
        "17 KiB": (begin + b"X-Long: " + b"y" * 17 * 1024 + b"\r\n\r\n", b""),
        "500 cookies": (begin + cookies + b"\r\n", b""),
    }
    outcome.begin()
    sent = 0

    async def throw(first: bytes, more: bytes) -> Peer:
        peer = Peer(first)
        await connect(target.port, peer)
        if more:
            async for _ in paced(1000, PATIENCE):
                if not peer.send(more):
                    break
        if not await peer.ended(PATIENCE):
            outcome.wrong.append(f"{first[:30]!r}… was not cut")
        peer.leave()
        return peer

    end = time.monotonic() + target.seconds
    while time.monotonic() < end:
        thrown = await asyncio.gather(*(throw(*bomb) for bomb in bombs.values() for _ in range(target.count(20))))
        sent += len(thrown)
        outcome.note(thrown)
    outcome.sent = f"{sent} heads: {', '.join(bombs)}"
    # A client that continues to send may be reset before it reads the answer.
    outcome.expect("431", "reset")
    if outcome.answers["431"] < sent / 2:
        outcome.wrong.append("most were not answered 431")


async def rubbish(target: Target, outcome: Outcome) -> None:
    """Bytes that are not HTTP/1.1, on 200 connections a second."""
    kinds: list[Callable[[], bytes]] = [
        lambda: target.random.randbytes(target.random.randint(1, 4096)),
        _client_hello,
        lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9,
        lambda: b"FETCH /events HTTP/1.1\r\nHost: push\r\n\r\n",
        lambda: b"get /events http/1.1\r\n\r\n",
        lambda: b"GET /events HTTP/9.9\r\nHost: push\r\n\r\n",
        lambda: b"DELETE /events HTTP/1.1\r\nHost: push\r\nConnection: close\r\n\r\n",
        lambda: b"\r\n" * 1000,
        lambda: b"\0" * 100,
        lambda: b"SSH-2.0-OpenSSH_9.9\r\n",
        lambda: b"GET /events HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        lambda: b"GET /events HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nzz",
    ]
    peers = []
    outcome.begin()
    async for number in paced(target.count(200), target.seconds):
        peers.append(Peer(kinds[number % len(kinds)]()))
        await connect(target.port, peers[-1])
    outcome.sent = f"{len(peers)} connections of {len(kinds)} kinds, {target.count(200)}/s"
    left = await all_ended(peers, PATIENCE)
    outcome.note(peers)
    outcome.expect("400", "401", "405", "408", "431", "reset", "closed")
    outcome.wrong += [f"{len(left)} were not cut"] if left else []


async def pipelined(target: Target, outcome: Outcome) -> None:
    """Pipelined requests. A thousand are cut off, even behind a stream. A few behind a stream are not read."""
    probe = b"GET /healthz HTTP/1.1\r\nHost: push\r\n\r\n"
    tokens = [target.token(f"pipeline {number}") for number in range(target.count(100))]
    streams = [Stream(request(token, more=probe * 5)) for token in tokens]
    floods = [Peer(request(token, more=probe * 1000)) for token in tokens]
    probes = [Peer(probe * 1000) for _ in range(target.count(20))]
    broken = [Peer(request(token, more=b"junk\r\n\r\n")) for token in tokens[:20]]
    outcome.sent = (
        f"{len(streams)} streams with 5 requests behind, then 10 KB/s each; {len(floods)} with 1000 behind; "
        f"{len(probes)} x 1000 probes; {len(broken)} streams with junk behind"
    )
    outcome.begin()
    await connect_all(target.port, [*streams, *floods, *probes, *broken])
    await until(lambda: all(peer.status or peer.end for peer in [*streams, *broken]))
    await until(lambda: all(peer.end for peer in [*floods, *probes]))
    async for _ in paced(10, target.seconds):
        for stream in streams:
            stream.send(b"GET /" + b"x" * 1000)
    outcome.note(streams)
    outcome.expect("200")
    outcome.note([*floods, *probes])
    # A request that arrives together with junk is refused with it.
    outcome.note(peer for peer in broken if peer.status != 400)
    if bad := sum(not stream.ready or bool(stream.end) for stream in streams):
        outcome.wrong.append(f"{bad} streams did not go on")
    for peer in [*streams, *floods, *probes, *broken]:
        peer.leave(reset=True)


async def bodies(target: Target, outcome: Outcome) -> None:
    """Endless bodies that the service does not need: some fast, some slow."""
    heads = [
        b"POST /session HTTP/1.1\r\nHost: push\r\nAuthorization: Bearer %s\r\nContent-Length: 1000000000\r\n\r\n",
        b"POST /session HTTP/1.1\r\nHost: push\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n",
    ]
    peers = [Peer(heads[number % 2] % target.token(f"body {number}").encode()) for number in range(target.count(100))]
    outcome.sent = f"{len(peers)} bodies without an end, half of them fast, half slow"
    outcome.begin()
    await connect_all(target.port, peers)
    piece = b"400\r\n" + b"b" * 1024 + b"\r\n"
    async for _ in paced(10, target.seconds):
        for number, peer in enumerate(peers):
            peer.send(piece * 20 if number % 4 < 2 else b"1")
    left = await all_ended(peers, PATIENCE)
    outcome.note(peers)
    outcome.expect("204", "400", "reset", "closed")
    outcome.wrong += [f"{len(left)} were not cut"] if left else []


def _client_hello() -> bytes:
    context, incoming, outgoing = ssl.create_default_context(), ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="push.example.com").do_handshake()
    return outgoing.read()
