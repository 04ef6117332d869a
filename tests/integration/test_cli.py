"""The commands in a shell: their output and their exit status."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from sse_service.auth.tokens.hs256 import HS256Verifier
from sse_service.auth.tokens.signing import TokenSigner
from tests.integration.chain import AWS, SECRET
from tests.integration.not_aws import PAGES, not_aws
from tests.integration.process import DEADLINE, Process

SERVING = {
    **AWS,
    "SSE_QUEUE_URL": "http://127.0.0.1:1/000000000000/events",
    "SSE_JWT_SECRET": SECRET,
    "SSE_SINGLE_TASK": "true",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "SSE_ADMIN_PORT": "0",
}


TOPIC = "arn:aws:sns:us-east-1:123456789012:events"


def command(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SSE_", "AWS_"))}
    return subprocess.run(
        [sys.executable, "-m", "sse_service", *arguments],
        env={**clean, **env},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )


@contextmanager
def port_in_use() -> Iterator[str]:
    """Listen on a free port, and yield its number."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield str(sock.getsockname()[1])


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"SSE_QUEUE_URL": ""}, "SSE_QUEUE_URL"),
        ({"SSE_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/a.fifo"}, "SSE_QUEUE_URL"),
        ({"SSE_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com"}, "SSE_QUEUE_URL"),
        ({"SSE_JWT_SECRET": ""}, "SSE_JWT_SECRET"),
        ({"SSE_JWT_SECRET": "short"}, "SSE_JWT_SECRET"),
        ({"SSE_SINGLE_TASK": "false"}, "SSE_SINGLE_TASK"),
        ({"SSE_BROKER_URL": "redis://localhost/one"}, "SSE_BROKER_URL"),
        ({"SSE_HEARTBEAT_SECONDS": "0"}, "SSE_HEARTBEAT_SECONDS"),
        ({"SSE_MAX_STREAMS": "many"}, "SSE_MAX_STREAMS"),
        ({"SSE_MAX_STREAMS_PER_USER": "0"}, "SSE_MAX_STREAMS_PER_USER"),
        ({"SSE_OPENS_PER_SECOND": "-1"}, "SSE_OPENS_PER_SECOND"),
        ({"WEB_CONCURRENCY": "2"}, "WEB_CONCURRENCY"),
        ({"AWS_ENDPOINT_URL": "notaurl"}, "AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1\n"}, "AWS_ENDPOINT_URL"),
        ({"AWS_REGION": "us-east-1\n"}, "AWS_REGION"),
        ({"AWS_SECRET_ACCESS_KEY": "test "}, "AWS_SECRET_ACCESS_KEY"),
        ({"SSE_CORS_ORIGINS": "*"}, "SSE_CORS_ORIGINS"),
        ({"SSE_ROUTE_USER": "body."}, "SSE_ROUTE_USER"),
        ({"AWS_DEFAULT_REGION": ""}, "AWS_REGION"),
        ({"AWS_PROFILE": "nobody", "AWS_DEFAULT_REGION": ""}, "AWS_PROFILE"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line_that_names_it(changed: dict[str, str], named: str) -> None:
    ended = command("serve", "--port", "0", **{**SERVING, **changed})
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("sse-service: ")
    assert named in ended.stderr
    assert SECRET not in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("SSE_COOKIE_NAME", name) for name in ("__Host-session", "__Secure-session", "__secure-x", "__Http-x")),
        ("SSE_COOKIE_SAMESITE", "none"),
        ("SSE_COOKIE_DOMAIN", "example.com"),
    ],
)
def test_dev_refuses_a_cookie_that_browsers_would_drop(name: str, value: str) -> None:
    ended = command("dev", "--port", "0", **{name: value})
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"sse-service: {name}: must ")
    assert "browsers" in ended.stderr


def test_an_unknown_variable_with_the_prefix_gets_a_warning() -> None:
    ended = command("token", "42", SSE_JWT_SECRET=SECRET, SSE_HEARTBEAT="3")
    assert ended.returncode == 0
    assert "SSE_HEARTBEAT is not a setting" in ended.stderr
    assert "Did you mean" not in ended.stderr


def test_the_warning_names_the_setting_that_is_meant() -> None:
    ended = command("token", "42", SSE_JWT_SECRET=SECRET, SSE_OIDC_ISSUER="https://login.example.com")
    assert ended.returncode == 0
    text = "SSE_OIDC_ISSUER is not a setting of this service: it is ignored. Did you mean SSE_OIDC_ISSUERS?"
    assert text in ended.stderr


@pytest.mark.parametrize(
    ("changed", "warned"),
    [
        ({"SSE_JWT_ALGORITHMS": "RS256"}, True),
        ({"SSE_JWT_ALGORITHMS": ""}, False),
        (
            {
                "SSE_JWT_ALGORITHMS": "RS256",
                "SSE_OIDC_ISSUERS": "https://login.example.com",
                "SSE_JWT_AUDIENCE": "push",
            },
            False,
        ),
    ],
    ids=["without a provider", "unset", "with a provider"],
)
def test_algorithms_without_a_provider_get_a_warning(changed: dict[str, str], warned: bool) -> None:
    with port_in_use() as port:
        ended = command("serve", "--port", port, **SERVING, **changed)
    text = "SSE_JWT_ALGORITHMS has no effect without SSE_OIDC_ISSUERS or SSE_JWKS_URL"
    assert (text in ended.stderr) == warned
    assert "cannot listen" in ended.stderr


@pytest.mark.parametrize("name", ["serve", "dev"])
def test_a_port_in_use_is_reported_in_one_line(name: str) -> None:
    with port_in_use() as port:
        ended = command(name, "--port", port, **SERVING)
    assert ended.returncode == 1
    assert ended.stderr == f"sse-service: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


def test_an_admin_port_in_use_is_reported_in_one_line_that_names_the_variable() -> None:
    with port_in_use() as port:
        ended = command("serve", "--port", "0", **{**SERVING, "SSE_ADMIN_PORT": port})
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "SSE_ADMIN_PORT" in ended.stderr


def test_dev_without_its_extra_prints_one_line() -> None:
    missing = "import sys; sys.modules['moto'] = None"
    code = f"{missing}; from sse_service.cli import main; sys.exit(main(['dev', '--port', '0']))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert ended.returncode == 1
    assert ended.stderr == "sse-service: dev needs the extra: pip install 'sse-service[dev]'\n"


@pytest.mark.parametrize("groups", ["a,b", " a , b,, "])
def test_token_prints_a_valid_token_and_nothing_else(groups: str) -> None:
    ended = command("token", "42", "--groups", groups, "--ttl", "10m", SSE_JWT_SECRET=f"{SECRET},{'o' * 32}")
    assert ended.stderr == ""
    principal = asyncio.run(HS256Verifier(secrets=[SECRET]).verify(ended.stdout.removesuffix("\n")))
    assert (principal.user, principal.groups) == ("42", ("a", "b"))
    assert 590 < principal.expires - time.time() <= 600


def test_token_without_a_secret_says_where_tokens_come_from_then() -> None:
    ended = command("token", "42", SSE_OIDC_ISSUERS="https://login.example.com", SSE_JWT_AUDIENCE="push")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "SSE_JWT_SECRET: must be set to sign a token" in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["nothing"], ["serve", "--port", "x"], ["token"], ["whoami"], ["token", "42", "--groups", "a,b\x01"]),
        ["token", "42", "--groups", ",".join(map(str, range(101)))],
        *(["token", name] for name in ("", " ", "42 ", " 42", "42\u00a0")),
        *(["publish", option, " 42", "x"] for option in ("--user", "--group")),
        *(["token", "42", "--ttl", ttl] for ttl in ("soon", "0s", "36501d", "999999999d")),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    ended = command(*arguments, **{**SERVING, "SSE_TOPIC_ARN": TOPIC})
    assert ended.returncode == 2
    assert ended.stderr


@pytest.mark.parametrize("kind", ["python -m http.server", "sign-in page", "sign-in page that is XML"])
def test_a_publish_that_aws_does_not_answer_prints_one_line_and_exits_with_1(kind: str) -> None:
    with not_aws(PAGES[kind]) as url:
        ended = command("publish", "--user", "42", "x", **{**SERVING, "SSE_TOPIC_ARN": TOPIC, "AWS_ENDPOINT_URL": url})
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.endswith("what answered is not AWS: check AWS_ENDPOINT_URL and HTTPS_PROXY\n")
    assert "html" not in ended.stderr


def test_a_failed_publish_prints_one_line_and_exits_with_1() -> None:
    ended = command("publish", "--user", "42", "x", **{**SERVING, "SSE_TOPIC_ARN": TOPIC})
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "not published" in ended.stderr
    assert f"SSE_TOPIC_ARN ({TOPIC})" in ended.stderr


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"AWS_DEFAULT_REGION": ""}, "AWS_REGION: must be set"),
        ({"AWS_PROFILE": "nobody"}, "AWS_PROFILE: "),
        ({"SSE_TOPIC_ARN": ""}, "SSE_TOPIC_ARN: must be set"),
    ],
)
def test_publish_names_the_variable_that_is_missing_or_wrong(changed: dict[str, str], named: str) -> None:
    ended = command("publish", "--user", "42", "x", **{**SERVING, "SSE_TOPIC_ARN": TOPIC, **changed})
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"sse-service: {named}")


def test_serve_waits_for_an_unreachable_queue_and_logs_it() -> None:
    with Process("sse_service", "serve", "--port", "0", env={**SERVING, "SSE_DRAIN_SECONDS": "0"}) as process:
        process.wait_for("listening on")
        process.wait_for("EndpointConnectionError")
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


def test_ctrl_c_ends_dev_with_one_line_and_status_0() -> None:
    with Process("sse_service", "dev", "--port", "0", env={"AWS_PROFILE": "nobody"}) as process:
        process.wait_for("s3 cp")
        process.signal(signal.SIGINT)
        assert process.wait() == 0
        assert process.output.splitlines()[-1] == "sse-service: stopped"
        assert "Traceback" not in process.output


def test_dev_accepts_tokens_signed_with_sse_jwt_secret() -> None:
    with Process("sse_service", "dev", "--port", "0", env={"SSE_JWT_SECRET": SECRET}) as process:
        url = process.wait_for(r"(?m)^(http://127\.0\.0\.1:\d+)/$")[1]
        token = TokenSigner(secret=SECRET).sign("anybody")
        with httpx.stream("GET", f"{url}/events", headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status_code == 200


def test_publish_prints_the_id_that_the_log_shows(tmp_path: Path) -> None:
    with Process("sse_service", "dev", "--port", "0", env={"SSE_LOG_LEVEL": "debug"}) as process:
        line = process.wait_for(r"(?m)^(SSE_TOPIC_ARN=.* publish .*)$")[1]
        for words, said, warned in (
            (line, "stored event {} for 1 channels", False),
            (line.replace("--user demo", ""), r"\(event {}\) was not understood", True),
        ):
            ended = subprocess.run(words, shell=True, check=True, cwd=tmp_path, capture_output=True, text=True)
            process.wait_for(said.format(ended.stdout.strip()))
            assert ("the data must say whom the event is for" in ended.stderr) == warned
            assert ended.stderr.count("\n") == warned
        absent = line.replace(":demo-events", ":absent")
        ended = subprocess.run(absent, shell=True, check=False, cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 1
        assert ended.stderr.count("\n") == 1
        assert "SSE_TOPIC_ARN (arn:aws:sns:us-east-1:123456789012:absent)" in ended.stderr


@pytest.mark.parametrize(("user", "status"), [("42", 0), (None, 1)])
def test_a_reader_of_route_that_has_enough_does_not_change_the_exit_status(
    tmp_path: Path, user: str | None, status: int
) -> None:
    file = tmp_path / "messages.json"
    body = json.dumps({"user_id": user, "text": "x" * 1000})
    file.write_text(json.dumps({"Messages": [{"MessageId": str(n), "Body": body} for n in range(2000)]}))
    arguments = [sys.executable, "-m", "sse_service", "route", str(file)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as route:
        assert route.stdout is not None
        assert route.stderr is not None
        route.stdout.readline()
        route.stdout.close()
        assert route.stderr.read() == b""
    assert route.returncode == status


def test_a_file_of_messages_that_cannot_be_read_is_wrong_usage(tmp_path: Path) -> None:
    ran = command("route", str(tmp_path / "missing.json"))
    assert ran.returncode == 2
    assert "missing.json" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
