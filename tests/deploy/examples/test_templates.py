"""The examples of templates work: what they connect to the topic reaches its user."""

from __future__ import annotations

import importlib.util
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from sse_service.dev.emulator import Emulator
from sse_service.dev.moto_server import MotoServer
from tests.deploy.examples.aws import arriving, call
from tests.deploy.examples.files import EXAMPLES

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


def resources(name: str) -> dict[str, Any]:
    """Return the template's resources, with short forms of intrinsic functions expanded."""
    from cfnlint.decode import cfn_yaml

    return {key: value["Properties"] for key, value in cfn_yaml.load(str(EXAMPLES / name))["Resources"].items()}


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
