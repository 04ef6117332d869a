"""The examples of Lambda functions publish events that reach their user."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sse_service.dev.emulator import Emulator
from sse_service.model.events import Route
from tests.deploy.examples.aws import arriving, call
from tests.deploy.examples.files import EXAMPLES, run_node


def assert_steps_of(job: str, routes: list[Route]) -> None:
    """Check that these are the two events of one job of ann."""
    assert [route.channels for route in routes] == [("user:ann",)] * 2
    events = sorted((route.event for route in routes), key=lambda event: event.id)
    assert [(e.id, e.type, e.subject) for e in events] == [
        (f"{job}-1", "job.working", f"job/{job}"),
        (f"{job}-2", "job.done", f"job/{job}"),
    ]
    assert [json.loads(e.data) for e in events] == [
        {"job": job, "step": 1, "state": "working"},
        {"job": job, "step": 2, "state": "done"},
    ]


@pytest.fixture
def python_lambda(environment: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("lambda_python", EXAMPLES / "lambda_python.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.sns.close()


def notification(key: str) -> dict[str, Any]:
    return {"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": "b"}, "object": {"key": key}}}]}


def test_the_python_lambda_publishes_each_step(aws: Emulator, python_lambda: ModuleType) -> None:
    python_lambda.handler(notification("users/ann/7/a+b.pdf"), None)
    assert_steps_of("7", arriving(aws, 2))


def test_a_retry_of_the_python_lambda_publishes_the_same_event_ids(aws: Emulator, python_lambda: ModuleType) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError

    work, python_lambda.work = python_lambda.work, fail
    with pytest.raises(RuntimeError):
        python_lambda.handler(notification("users/ann/7/a"), None)
    (first,) = arriving(aws, 1)
    python_lambda.work = work
    python_lambda.handler(notification("users/ann/7/a"), None)
    routes = arriving(aws, 2)
    assert_steps_of("7", routes)
    assert next(route.event for route in routes if route.event.id == "7-1").data == first.event.data


def test_the_typescript_lambda_publishes_each_step(aws: Emulator, tmp_path: Path) -> None:
    job, bad = ({"messageId": name, "body": body} for name, body in (("m-1", '{"user":"ann","job":"8"}'), ("m-2", "{")))
    answer, published = run_typescript(tmp_path, {"Records": [bad, job]}, topic_arn=aws.topic_arn)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-2"}]}
    for command in published:
        call(aws, "sns", "publish", **command)
    assert_steps_of("8", arriving(aws, 2))


def run_typescript(directory: Path, event: Any, *, topic_arn: str) -> tuple[Any, list[dict[str, Any]]]:
    """Run the handler with a fake SDK. Returns its answer and the messages that it published."""
    sdk = directory / "node_modules" / "@aws-sdk" / "client-sns"
    sdk.mkdir(parents=True)
    (sdk / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    (sdk / "index.js").write_text(
        "export const sent = [];\n"
        "export class PublishCommand { constructor(input) { this.input = input; } }\n"
        "export class SNSClient { async send(command) { sent.push(command.input); } }\n"
    )
    (directory / "lambda.mts").write_text((EXAMPLES / "lambda.ts").read_text())
    (directory / "run.mjs").write_text(
        'import { sent } from "@aws-sdk/client-sns";\n'
        'import { handler } from "./lambda.mts";\n'
        "const answer = await handler(JSON.parse(process.argv[2]));\n"
        "console.log(JSON.stringify([answer, sent]));\n"
    )
    answer, sent = run_node(directory, event, TOPIC_ARN=topic_arn)
    return answer, sent


def test_the_python_lambda_skips_objects_that_are_not_files_of_a_job(aws: Emulator, python_lambda: ModuleType) -> None:
    keys = ("users", "users/ann", "users/ann/7", "users/ann/7/", "users//7/a", "users/ann/7/a")
    python_lambda.handler({"Records": [record for key in keys for record in notification(key)["Records"]]}, None)
    assert_steps_of("7", arriving(aws, 2))
