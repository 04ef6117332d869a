"""The examples of producers work: their events reach their user."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from consumers.envelope import unwrap
from sse_service.dev.emulator import Emulator
from sse_service.dev.moto_server import MotoServer
from sse_service.model.events import Route
from sse_service.routing.router import Router
from tests.deploy.examples.files import EXAMPLES, NODE
from tests.integration.emulated import create_resources
from tests.integration.process import DEADLINE, PROGRAM_DEADLINE

TEMPLATES = sorted(EXAMPLES.glob("*.yaml"))

KEY = "users/ann/7/a b.pdf"
STREAM_RECORD = {  # as a pipe reads it from a DynamoDB stream
    "eventID": "1af2",
    "eventName": "MODIFY",
    "eventVersion": "1.1",
    "eventSource": "aws:dynamodb",
    "awsRegion": "us-east-1",
    "dynamodb": {
        "ApproximateCreationDateTime": 1764060000,
        "Keys": {"job": {"S": '7"'}},
        "NewImage": {"job": {"S": '7"'}, "user_id": {"S": "ann"}, "step": {"N": "2"}, "state": {"S": "done"}},
        "SequenceNumber": "111",
        "SizeBytes": 26,
        "StreamViewType": "NEW_IMAGE",
    },
    "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/jobs/stream/2026-11-25T08:00:00.000",
}


@pytest.fixture(scope="module")
def server() -> Iterator[MotoServer]:
    server = MotoServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def aws(server: MotoServer) -> Emulator:
    return asyncio.run(create_resources(Emulator(endpoint_url=server.url), visibility_seconds=60))


@pytest.fixture
def environment(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the environment variables of a Lambda function."""
    for name, value in {**aws.environment, "TOPIC_ARN": aws.topic_arn, "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def arriving(aws: Emulator, count: int) -> list[Route]:
    """Receive the next messages of the queue, and return their Routes."""
    router = Router(s3_key_pattern="users/{user}/*")
    routes: list[Route] = []

    async def receive() -> None:
        async with aws.client("sqs") as sqs, asyncio.timeout(DEADLINE):
            while len(routes) < count:
                answer = await sqs.receive_message(QueueUrl=aws.queue_url, WaitTimeSeconds=1, MaxNumberOfMessages=10)
                for message in answer.get("Messages", []):
                    routing = router.route(unwrap(message_id=message["MessageId"], body=message["Body"]))
                    assert routing.unrouted == 0, message
                    routes.extend(routing.routes)
                    await sqs.delete_message(QueueUrl=aws.queue_url, ReceiptHandle=message["ReceiptHandle"])

    asyncio.run(receive())
    return routes


def call(aws: Emulator, service: str, operation: str, **parameters: Any) -> Any:
    async def send() -> Any:
        async with aws.client(service) as client:
            return await getattr(client, operation)(**parameters)

    return asyncio.run(send())


def resources(name: str) -> dict[str, Any]:
    """Return the template's resources, with short forms of intrinsic functions expanded."""
    from cfnlint.decode import cfn_yaml

    return {key: value["Properties"] for key, value in cfn_yaml.load(str(EXAMPLES / name))["Resources"].items()}


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
    assert NODE.exists(), "needs Playwright: pip install playwright"
    ran = subprocess.run(
        [NODE, "run.mjs", json.dumps(event)],
        cwd=directory,
        env={"TOPIC_ARN": topic_arn},
        capture_output=True,
        text=True,
        timeout=PROGRAM_DEADLINE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answer, sent = json.loads(ran.stdout)
    return answer, sent


def test_the_python_lambda_skips_objects_that_are_not_files_of_a_job(aws: Emulator, python_lambda: ModuleType) -> None:
    keys = ("users", "users/ann", "users/ann/7", "users/ann/7/", "users//7/a", "users/ann/7/a")
    python_lambda.handler({"Records": [record for key in keys for record in notification(key)["Records"]]}, None)
    assert_steps_of("7", arriving(aws, 2))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_cfn_lint_accepts_the_template(template: Path) -> None:
    if importlib.util.find_spec("cfnlint") is None:
        pytest.fail("needs cfn-lint: pip install cfn-lint")
    from cfnlint.api import lint_file

    assert [str(match) for match in lint_file(template)] == []


@pytest.mark.parametrize(
    ("name", "service", "condition"),
    [
        ("eventbridge.yaml", "events.amazonaws.com", None),
        (
            "s3.yaml",
            "s3.amazonaws.com",
            {
                "ArnEquals": {"aws:SourceArn": {"Fn::Sub": "arn:${AWS::Partition}:s3:::${BucketName}"}},
                "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            },
        ),
    ],
)
def test_the_topic_policy_lets_one_service_publish(name: str, service: str, condition: Any) -> None:
    (statement,) = resources(name)["TopicPolicy"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Allow", {"Service": service})
    assert (statement["Action"], statement["Resource"]) == ("sns:Publish", {"Ref": "TopicArn"})
    assert statement.get("Condition") == condition


def test_an_eventbridge_event_reaches_the_user_in_its_detail(aws: Emulator) -> None:
    from moto.events.models import EventPattern

    rule = resources("eventbridge.yaml")["Rule"]
    pattern = json.loads(json.dumps(rule["EventPattern"]).replace('{"Ref": "Source"}', '"my.jobs"'))
    event = {
        "version": "0",
        "id": "e-1",
        "detail-type": "job.done",
        "source": "my.jobs",
        "account": "123456789012",
        "time": "2026-11-25T08:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {"user_id": "ann", "job": "7"},
    }
    passes = EventPattern.load(json.dumps(pattern)).matches_event
    assert passes(event)
    assert not passes({**event, "detail": {"job": "7"}})
    assert not passes({**event, "source": "other"})
    # No input transformer and no role: the event is sent as it is, allowed by the topic's policy.
    assert [set(target) for target in rule["Targets"]] == [{"Id", "Arn"}]
    # In the emulator the target of a rule can only be a queue.
    call(aws, "sns", "publish", TopicArn=aws.topic_arn, Message=json.dumps(event))
    (route,) = arriving(aws, 1)
    assert route.channels == ("user:ann",)
    assert (route.event.id, route.event.type) == ("e-1", "job.done")
    assert json.loads(route.event.data) == event["detail"]


def test_an_uploaded_object_reaches_the_user_in_its_key(aws: Emulator) -> None:
    (setting,) = resources("s3.yaml")["Bucket"]["NotificationConfiguration"]["TopicConfigurations"]
    rules = setting["Filter"]["S3Key"]["Rules"]
    topic = {"TopicArn": aws.topic_arn, "Events": [setting["Event"]], "Filter": {"Key": {"FilterRules": rules}}}
    call(aws, "s3", "create_bucket", Bucket="examples")
    configuration = {"TopicConfigurations": [topic]}
    call(
        aws,
        "s3",
        "put_bucket_notification_configuration",
        Bucket="examples",
        NotificationConfiguration=configuration,
    )
    call(aws, "s3", "put_object", Bucket="examples", Key="other/ann/a", Body=b"")
    call(aws, "s3", "put_object", Bucket="examples", Key=KEY, Body=b"x")
    (route,) = arriving(aws, 1)
    assert route.channels == ("user:ann",)
    assert (route.event.type, route.event.subject) == ("ObjectCreated:Put", KEY)


def test_a_dynamodb_row_reaches_the_user_that_it_names(aws: Emulator) -> None:
    template = resources("dynamodb-pipe.yaml")["Pipe"]["TargetParameters"]["InputTemplate"]
    message = transformed(template, STREAM_RECORD)
    call(aws, "sns", "publish", TopicArn=aws.topic_arn, Message=message)
    (route,) = arriving(aws, 1)
    event = route.event
    assert route.channels == ("user:ann",)
    assert (event.type, event.subject) == ("job.done", 'job/7"')
    # Source and id: a record that the pipe sends again has another MessageId, but is the same event.
    assert event.id == f"{STREAM_RECORD['eventSourceARN']} 1af2"
    assert json.loads(event.data) == {"user_id": "ann", "job": '7"', "step": "2", "state": "done"}


def test_the_pipe_ignores_rows_without_the_fields_that_it_sends() -> None:
    from moto.events.models import EventPattern

    (rule,) = resources("dynamodb-pipe.yaml")["Pipe"]["SourceParameters"]["FilterCriteria"]["Filters"]
    passes = EventPattern.load(rule["Pattern"]).matches_event
    assert passes(STREAM_RECORD)
    assert not passes({**STREAM_RECORD, "eventName": "REMOVE"})
    image: Any = STREAM_RECORD["dynamodb"]["NewImage"]
    for name in image:
        without = {key: value for key, value in image.items() if key != name}
        assert not passes({**STREAM_RECORD, "dynamodb": {"NewImage": without}})
    assert not passes({**STREAM_RECORD, "dynamodb": {"NewImage": {**image, "step": {"S": "2"}}}})


def transformed(template: str, record: Any) -> str:
    """Apply a pipe's input transformer. A placeholder is a JSON value or part of a string."""

    def found(path: str) -> str:
        value = record
        for name in path.split("."):
            value = value[name]
        assert isinstance(value, str)
        return json.dumps(value)

    placeholder = re.compile(r"<\$\.([^>]+)>")
    within = re.sub('"[^"]*"', lambda text: placeholder.sub(lambda m: found(m[1])[1:-1], text[0]), template)
    return placeholder.sub(lambda m: found(m[1]), within)


def test_the_state_machine_publishes_an_event_when_it_ends(
    aws: Emulator, server: MotoServer, environment: pytest.MonkeyPatch
) -> None:
    from moto.core.config import default_user_config

    environment.setitem(default_user_config["stepfunctions"], "execute_state_machine", True)
    environment.setenv("MOTO_PORT", server.url.rpartition(":")[2])
    environment.setenv("NO_PROXY", "localhost,127.0.0.1")
    machine = resources("step-functions.yaml")["Machine"]
    assert machine["DefinitionSubstitutions"] == {"TopicArn": {"Ref": "TopicArn"}}
    definition = json.dumps(machine["Definition"]).replace("${TopicArn}", aws.topic_arn)
    role = "arn:aws:iam::123456789012:role/examples"
    made = call(aws, "stepfunctions", "create_state_machine", name="examples", definition=definition, roleArn=role)
    arn = made["stateMachineArn"]
    started = call(aws, "stepfunctions", "start_execution", stateMachineArn=arn, input='{"user": "ann", "job": "7"}')
    (route,) = arriving(aws, 1)
    assert route.channels == ("user:ann",)
    assert (route.event.id, route.event.type, route.event.subject) == ("7-2", "job.done", "job/7")
    assert json.loads(route.event.data) == {"job": "7", "step": 2, "state": "done"}
    deadline = time.monotonic() + 20
    while (found := call(aws, "stepfunctions", "describe_execution", executionArn=started["executionArn"])) and (
        found["status"] == "RUNNING"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found["status"] == "SUCCEEDED", found


def test_each_example_is_short_and_in_the_table() -> None:
    files = {path.name: path.read_text() for path in EXAMPLES.iterdir() if path.is_file()}
    table = files.pop("README.md")
    for name, text in files.items():
        limit = 130 if name == "oidc.js" else 60  # that one is a whole sign-in, without a library
        assert len(text.splitlines()) < limit, name
    named = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert named == set(files)
