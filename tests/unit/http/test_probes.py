"""What ``/readyz`` says of each dependency."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request

from sse_service.http.probes import Probes
from sse_service.telemetry.health import Health


def readyz(health: Health) -> tuple[int, Any]:
    response = asyncio.run(Probes(health=health).readyz(Request({"type": "http"})))
    return response.status_code, json.loads(bytes(response.body))


def test_a_trouble_makes_the_task_unready_and_a_note_does_not() -> None:
    trouble: dict[str, str | None] = {"issuer": None}
    health = Health(
        dependencies={"broker": lambda: None},
        for_identity={"issuer": lambda: trouble["issuer"]},
        notes={"issuer": lambda: "it cannot be reached; keys fetched 45 s ago are in use"},
    )
    assert readyz(health) == (
        200,
        {
            "status": "ready",
            "dependencies": {
                "broker": "ok",
                "issuer": "ok: it cannot be reached; keys fetched 45 s ago are in use",
            },
        },
    )
    trouble["issuer"] = "it cannot be reached"
    status, said = readyz(health)
    assert (status, said["status"]) == (503, "unready")
    assert said["dependencies"] == {"broker": "ok", "issuer": "unavailable: it cannot be reached"}


def test_a_draining_task_is_not_ready() -> None:
    health = Health(dependencies={"broker": lambda: None})
    health.begin_drain()
    assert readyz(health) == (503, {"status": "draining", "dependencies": {"broker": "ok"}})


@pytest.mark.parametrize(
    ("client", "probed"),
    [
        (("127.0.0.1", 40000), False),
        (("::1", 40000), False),
        (("::ffff:127.0.0.1", 40000), False),
        (("10.0.1.7", 40000), True),
        (("::ffff:10.0.1.7", 40000), True),
        (("2001:db8::7", 40000), True),
        (("somebody", 0), True),
        (None, True),
    ],
)
def test_only_a_question_from_another_machine_is_a_load_balancers(client: tuple[str, int] | None, probed: bool) -> None:
    health = Health(dependencies={})
    asyncio.run(Probes(health=health).healthz(Request({"type": "http", "client": client})))
    assert health.probed is probed
