"""``sse-service tail`` and ``sse-service route`` as an operator uses them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest

from tests.integration.chain import SECRET, Chain, environment, queue_stub
from tests.integration.process import Process
from tests.integration.test_stream import user

ENV = {"SSE_JWT_SECRET": SECRET}


@pytest.mark.parametrize("over", ["sse", "websocket", "polling"])
def test_events_are_printed_over_each_protocol(chain: Chain, over: str) -> None:
    name = user()
    command = ("tail", "--user", name, "--url", chain.url, "--over", over, "--types", "a", "--json")
    with Process("sse_service", *command, env=ENV) as tail:
        tail.wait_for("stream.ready")
        chain.put("1", user_id=name, event_type="b")
        chain.put("2", user_id=name, event_type="a")
        tail.wait_for(r'"data": "2"')
        tail.signal(signal.SIGINT)
        assert tail.wait() == 0
    events = [json.loads(line) for line in tail.output.splitlines() if line.startswith("{")]
    assert [each["data"] for each in events if each["event"] == "a"] == ["2"]
    assert "Traceback" not in tail.output


def test_a_tail_survives_a_restart_and_shows_the_gap() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, command = f"http://127.0.0.1:{port}", ("sse_service", "serve", "--port", str(port))
    with queue_stub() as queue, Process("sse_service", "tail", "--user", "ann", "--url", url, env=ENV) as tail:
        tail.wait_for("comes back in")
        for number in (1, 2):
            with Process(*command, env=environment(queue)) as serving:
                serving.wait_for("listening on")
                tail.wait_for(f"(?s)(stream.ready.*){{{number}}}")
                chain = Chain(queue=queue, url=url, admin="", process=serving)
                with chain.client:
                    chain.put(f"event {number}", user_id="ann")
                tail.wait_for(f"message  event {number}")
                serving.signal(signal.SIGKILL)
                serving.wait()
        tail.signal(signal.SIGINT)
        assert tail.wait() == 0
    # The memory broker has lost its history with its process.
    assert tail.output.count('stream.gap  {"reason":"epoch"}') == 1
    assert "the connection is lost" in tail.output
    assert "Traceback" not in tail.output


def test_a_refused_tail_says_why_and_ends(chain: Chain) -> None:
    with Process("sse_service", "tail", "--token", "bad", "--url", chain.url, env=ENV) as tail:
        assert tail.wait() == 1
    assert "401: the token is malformed" in tail.output


def test_a_closed_pipe_ends_a_tail_quietly(chain: Chain) -> None:
    name = user()
    chain.put("1", user_id=name)
    command = f"{sys.executable} -m sse_service tail --user {name} --since all --url {chain.url} | head -n 1"
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], env=ENV, capture_output=True, text=True, timeout=60, check=False
    )
    assert "stream.ready" in ran.stdout
    assert "Traceback" not in ran.stderr
