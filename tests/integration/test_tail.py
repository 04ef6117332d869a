"""``sse-service tail`` and ``sse-service route`` as an operator uses them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.chain import SECRET, Chain, environment, queue_stub, service
from tests.integration.process import DEADLINE, Process
from tests.integration.test_stream import user
from tests.integration.valkey import Valkey
from tests.ports import free_port

ENV = {"SSE_JWT_SECRET": SECRET}


every_protocol = pytest.mark.parametrize("over", ["sse", "websocket", "polling"])


@contextmanager
def tailing(*arguments: str) -> Iterator[Process]:
    """Run a tail, which prints JSON."""
    with Process("sse_service", "tail", *arguments, "--json", env=ENV) as tail:
        yield tail
    assert "Traceback" not in tail.output


def printed(tail: Process) -> list[dict[str, str]]:
    return [json.loads(line) for line in tail.output.splitlines() if line.startswith("{")]


@every_protocol
def test_events_are_printed_until_ctrl_c(chain: Chain, over: str) -> None:
    name = user()
    with tailing("--user", name, "--url", chain.url, "--over", over, "--types", "a,message") as tail:
        tail.wait_for("stream.ready")
        chain.put("1", user_id=name, event_type="b")
        chain.put("2", user_id=name, event_type="a")
        chain.put("3", user_id=name)
        tail.wait_for(r'"data": "3"')
        tail.signal(signal.SIGINT)
        assert tail.wait() == 0
    events = [each for each in printed(tail) if not each["event"].startswith("stream.")]
    assert [(each["event"], each["data"]) for each in events] == [("a", "2"), ("message", "3")]
    assert all(each["id"] and each["time"].endswith("Z") for each in events)
    ready = next(each for each in printed(tail) if each["event"] == "stream.ready")
    assert json.loads(ready["data"]) == {"resumed": False, "user": name}


def test_tails_over_all_protocols_survive_kills_without_losing_or_doubling_an_event() -> None:
    port, ends = free_port(), [signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]
    url, bodies = f"http://127.0.0.1:{port}", [f"event {number}" for number in range(len(ends))]
    arguments = ("--user", "ann", "--url", url, "--since", "all")
    with (
        Valkey() as valkey,
        tailing(*arguments, "--over", "sse") as sse,
        tailing(*arguments, "--over", "websocket") as websocket,
        tailing(*arguments, "--over", "polling") as polling,
    ):
        tails = (sse, websocket, polling)
        for number, (body, end) in enumerate(zip(bodies, ends, strict=True)):
            # A queue of its own: a killed process may leave a receive behind that takes the next message.
            with queue_stub() as queue:
                settings = environment(queue, broker_url=valkey.url, single_task="false")
                with Process("sse_service", "serve", "--port", str(port), env=settings) as serving:
                    serving.wait_for("listening on")
                    chain = Chain(queue=queue, url=url, admin="", process=serving)
                    with chain.client:
                        # Each queue numbers its messages from 1.
                        chain.put(body, user_id="ann", event_id=body)
                    serving.wait_for("stored event")
                    # The first and the third process are killed before all tails have the event.
                    if number % 2 == 1:
                        for tail in tails:
                            tail.wait_for(f'"data": "{body}"')
                    serving.signal(end)
                    serving.wait()
        for tail in tails:
            tail.signal(signal.SIGINT)
            assert tail.wait() == 0
    for tail in tails:
        assert [each["data"] for each in printed(tail) if each["event"] == "message"] == bodies
        assert "stream.gap" not in tail.output
        assert "comes back in" in tail.output
    assert all('\\"reason\\":\\"drain\\"' in tail.output for tail in (sse, websocket))


def test_a_gap_is_shown() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with queue_stub() as queue, Process("sse_service", "tail", "--user", "ann", "--url", url, env=ENV) as tail:
        tail.wait_for("comes back in")
        for number in (1, 2):
            with Process("sse_service", "serve", "--port", str(port), env=environment(queue)) as serving:
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
    assert f"cannot connect to 127.0.0.1:{port}: connection refused" in tail.output
    assert "the connection has ended" in tail.output
    assert "TransferEncodingError" not in tail.output
    assert "Traceback" not in tail.output


def test_a_service_that_hangs_is_noticed(queue: str) -> None:
    with service(queue, heartbeat_seconds="1") as chain:
        arguments = ("--user", "ann", "--url", chain.url)
        with tailing(*arguments, "--over", "sse") as sse, tailing(*arguments, "--over", "websocket") as websocket:
            tails = (sse, websocket)
            for tail in tails:
                tail.wait_for("stream.ready")
            chain.process.signal(signal.SIGSTOP)
            try:
                for tail in tails:
                    tail.wait_for("nothing has come for 3 s: the connection is dead")
            finally:
                chain.process.signal(signal.SIGCONT)
            for tail in tails:
                tail.wait_for(r"(?s)stream.ready.*stream.ready")
            chain.put("after", user_id="ann")
            for tail in tails:
                tail.wait_for('"data": "after"')
                assert "stream.gap" not in tail.output


@every_protocol
def test_a_refused_tail_says_why_and_ends(chain: Chain, over: str) -> None:
    with tailing("--token", "bad", "--url", chain.url, "--over", over) as tail:
        assert tail.wait() == 1
    assert "401: the token is malformed" in tail.output
    assert "comes back" not in tail.output
    with tailing("--user", "ann", "--url", chain.url, "--over", over, "--since", "soon") as tail:
        assert tail.wait() == 1
    assert "400: since must be a cursor" in tail.output


@every_protocol
def test_a_token_that_expires_ends_a_tail_which_cannot_sign_another(chain: Chain, over: str) -> None:
    token = chain.signer.sign(user(), ttl_seconds=3)
    with tailing("--token", token, "--url", chain.url, "--over", over) as tail:
        assert tail.wait() == 1
    assert tail.output.count('"stream.ready"') == 1
    assert "401: the token has expired" in tail.output


def test_a_revoked_user_with_a_secret_comes_back_with_a_new_token(chain: Chain) -> None:
    name = user()
    with tailing("--user", name, "--url", chain.url) as tail:
        tail.wait_for("stream.ready")
        chain.client.post(f"{chain.admin}/revoke", json={"user": name}).raise_for_status()
        tail.wait_for(r"(?s)revoked.*stream\.ready")
        chain.put("after", user_id=name)
        tail.wait_for('"data": "after"')


def test_the_token_may_come_from_stdin(chain: Chain) -> None:
    name = user()
    chain.put("1", user_id=name)
    ran = shell(f"echo {chain.signer.sign(name)} | SSE tail --token - --since all --url {chain.url} | head -n 2")
    assert "message  1" in ran.stdout
    assert ran.stderr == ""
    assert shell(f"echo | SSE tail --token - --url {chain.url}").returncode == 2


@pytest.mark.parametrize("over", ["sse", "polling"])
def test_a_closed_pipe_ends_a_tail_quietly(chain: Chain, over: str) -> None:
    # `head` leaves after the first line, and nothing comes after it.
    ran = shell(f"SSE tail --user {user()} --over {over} --url {chain.url} | head -n 1")
    assert "stream.ready" in ran.stdout
    assert (ran.returncode, ran.stderr) == (0, "")


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a pipeline in which ``SSE`` is the service's command line."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command.replace('SSE ', f'{sys.executable} -m sse_service ')}"],
        env=ENV,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_route_shows_the_bytes_that_a_stream_brings(chain: Chain, tmp_path: Path) -> None:
    name, attributes = user(), {"event_type": "open", "subject": "job/7"}
    cloudevent = json.dumps({"specversion": "1.0", "id": "1", "source": "/", "type": "t", "data": {"user_id": name}})
    bodies = ["two\r\nlines, ä", '{"a": 1}', cloudevent]
    named = [{**attributes, "user_id": name}, {**attributes, "user_id": name}, attributes]
    typed = [{key: {"DataType": "String", "StringValue": text} for key, text in each.items()} for each in named]
    messages = [{"Body": body, "MessageAttributes": each} for body, each in zip(bodies, typed, strict=True)]
    file = tmp_path / "messages"
    file.write_text(json.dumps({"Messages": messages}))
    with Process("sse_service", "route", "--json", str(file)) as route:
        assert route.wait() == 0
    frames = [json.loads(line)["events"][0]["frame"] for line in route.output.splitlines()]
    with chain.stream(name) as stream:
        chain.put_all(list(zip(bodies, named, strict=True)))
        stream.wait_for("event.open", 3)
        ids = [message.id for message in stream.messages if message.type == "event.open"]
        assert "".join(frames[at].replace("<cursor>", ids[at]) for at in range(3)).encode() in stream.raw
