"""Attacks by opening streams: again and again, without a valid token, or more than the limits allow."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial

from sse_service.auth.tokens.signing import TokenSigner
from tests.faults.attack_target import Outcome, Target, paced
from tests.faults.raw_clients import Peer, Stream, connect, connect_all, request
from tests.integration.until import until

STREAMS_PER_USER = 20

OPENS_PER_SECOND = 100
"""SSE_OPENS_PER_SECOND of the service that ``greedy`` attacks."""


async def churn(target: Target, outcome: Outcome) -> None:
    """Connect, open a stream or send nothing, and leave at a random time, with or without a reset: 200 a second."""
    users = [target.token(f"churn {number}") for number in range(200)]
    peers: list[Peer] = []
    loop = asyncio.get_running_loop()
    rate = target.count(200)
    outcome.begin()
    async for number in paced(rate, target.seconds):
        peer = Peer() if number % 4 == 0 else Stream(request(target.random.choice(users)))
        peers.append(peer)
        await connect(target.port, peer)
        stays = target.random.choice((0, target.random.expovariate(200), target.random.expovariate(1)))
        reset = target.random.random() < 0.5
        loop.call_later(stays, partial(peer.leave, reset=reset))
    for peer in peers:
        peer.leave()
    outcome.sent = f"{len(peers)} connections, {rate}/s, a quarter says nothing"
    outcome.note(peers)
    outcome.expect("200", "left")


async def bad_tokens(target: Target, outcome: Outcome) -> None:
    """Invalid tokens, 200 a second, each on a new connection."""
    other = TokenSigner(secret="another-secret-that-is-long-enough-for-HS256")
    bad = [
        "x",
        "a.b.c",
        "é".encode().hex() * 500,
        other.sign("42"),
        target.signer.sign("42", ttl_seconds=-3600),
        # {"alg":"none"} . {"sub":"42","exp":9999999999}
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiIsImV4cCI6OTk5OTk5OTk5OX0.",
        target.token("42")[:-1],
    ]
    peers: list[Peer] = []
    rate = target.count(200)
    outcome.begin()
    async for number in paced(rate, target.seconds):
        peers.append(Peer(request(bad[number % len(bad)])))
        await connect(target.port, peers[-1])
        if number >= rate and peers[number - rate].status:
            peers[number - rate].leave()
    await until(lambda: all(peer.status or peer.end for peer in peers))
    for peer in peers:
        peer.leave()
    outcome.sent = f"{len(peers)} requests, {rate}/s"
    outcome.note(peers)
    outcome.expect("401")


async def one_user(target: Target, outcome: Outcome) -> None:
    """Open far more streams than one user may have: first new ones, then resumed ones."""
    token = target.token("one user")
    streams = [Stream(request(token)) for _ in range(target.count(1000))]
    outcome.begin()
    await connect_all(target.port, streams)
    await _settled(streams, target.seconds)
    staying = [stream for stream in streams if not stream.closed and stream.ready]
    reasons = {json.loads(stream.closed)["reason"] for stream in streams if stream.closed}
    if len(staying) > STREAMS_PER_USER:
        outcome.wrong.append(f"{len(staying)} streams of one user stay open")
    if not reasons <= {"limit"}:
        outcome.wrong.append(f"streams were closed for {reasons}")
    cursor = staying[0].last_id if staying else ""
    resumed = [Stream(request(token, last_id=cursor)) for _ in range(target.count(200))]
    await connect_all(target.port, resumed)
    await _settled(resumed, target.seconds)
    if evicted := sum(bool(stream.closed) for stream in staying):
        outcome.wrong.append(f"{evicted} streams were evicted by streams that resume")
    early = [s for s in resumed if s.closed and not 30 <= s.retry <= 60]
    outcome.wrong += [f"{len(early)} were told to come back at another time than in 30 to 60 s"] if early else []
    outcome.sent = f"{len(streams)} streams of one user at once, then {len(resumed)} that resume"
    for stream in [*streams, *resumed]:
        outcome.answers["closed: limit" if stream.closed else f"{stream.answer}, stays"] += 1
        stream.leave()
    outcome.expect("closed: limit", "200, stays")


async def greedy(target: Target, outcome: Outcome) -> None:
    """One user opens streams at four times the allowed rate of all users, while others come."""
    token = target.token("greedy")
    mine: list[Stream] = []
    others: list[Stream] = []
    loop = asyncio.get_running_loop()
    outcome.begin()
    async for number in paced(4 * OPENS_PER_SECOND, target.seconds):
        mine.append(Stream(request(token)))
        await connect(target.port, mine[-1])
        loop.call_later(0.1, mine[-1].leave)
        # By now the allowed burst is used up.
        if number > 8 * OPENS_PER_SECOND and number % (OPENS_PER_SECOND // 2) == 0:
            others.append(Stream(request(target.token(f"other {number}"))))
            await connect(target.port, others[-1])
    for stream in others:
        await stream.ended(0.5)
        stream.leave()
    outcome.sent = f"{len(mine)} streams of one user, {4 * OPENS_PER_SECOND}/s, and {len(others)} of others"
    outcome.answers.update("others: turned away" if stream.closed else "others: served" for stream in others)
    outcome.answers.update("turned away" if stream.closed else "served" for stream in mine)
    if away := outcome.answers["others: turned away"]:
        outcome.wrong.append(f"{away} of {len(others)} other users' streams were turned away")


async def descriptors(target: Target, outcome: Outcome) -> None:
    """Open more connections than the service has descriptors, and reopen each that is cut: 500 a second."""
    tokens = [target.token(f"holder {number}") for number in range(100)]
    peers: list[Peer] = []
    most = 600
    outcome.begin()
    sent = 0
    async for number in paced(500, target.seconds):
        if len(peers) >= most:
            outcome.note(peer for peer in peers if peer.end)
            peers = [peer for peer in peers if not peer.end]
        if len(peers) < most:
            peers.append(Peer() if number % 2 else Stream(request(tokens[number % len(tokens)])))
            await connect(target.port, peers[-1])
            sent += 1
    outcome.sent = f"{sent} connections, {most} at one time"
    outcome.note(peers)
    for peer in peers:
        peer.leave()
    outcome.expect("200", "reset", "closed", "nothing", "refused")
    if not outcome.answers["reset"] + outcome.answers["closed"] + outcome.answers["refused"]:
        outcome.wrong.append("the limit was not reached")


async def _settled(streams: list[Stream], seconds: float) -> None:
    """Wait until every stream has an answer and no more are closed."""
    end = time.monotonic() + max(seconds, 30)
    last = -1
    while time.monotonic() < end:
        told = sum(bool(stream.closed) for stream in streams)
        if told == last and all(stream.ready or stream.closed or stream.end for stream in streams):
            return
        last = told
        await asyncio.sleep(0.5)
