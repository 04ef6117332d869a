"""Region, credentials, clock, and what botocore raises."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from sse_service.doctor.calls import Fault, fault, skew
from sse_service.doctor.identity import judge_clock, judge_credentials, judge_region
from sse_service.doctor.report import Level

NOON = "Mon, 05 Jan 2026 12:00:00 GMT"
NOON_SECONDS = 1_767_614_400.0


def test_the_region() -> None:
    assert judge_region("eu-west-1", None).text == "eu-west-1"
    assert "AWS_REGION" in judge_region(None, None).do
    assert judge_region(None, "The config profile (x) could not be found").level is Level.FAIL


def test_credentials() -> None:
    arn = "arn:aws:sts::123456789012:assumed-role/push/1"
    assert judge_credentials({"Arn": arn}).text == arn
    assert "taskRoleArn" in judge_credentials(Fault("NoCredentialsError")).do
    for code in ("InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch"):
        assert judge_credentials(Fault(code)).level is Level.FAIL
    assert judge_credentials(Fault("ConnectTimeoutError", unreachable=True)).level is Level.WARN
    assert judge_credentials(Fault("Throttling")).level is Level.FAIL
    assert judge_credentials(Fault("ValueError", do="look here")).do == "look here"


@pytest.mark.parametrize(
    ("seconds", "level", "word"),
    [
        (0.0, Level.OK, "within 1 s"),
        (-4.6, Level.OK, "within 5 s"),
        (6.0, Level.WARN, "6 s ahead of"),
        (-6.0, Level.WARN, "6 s behind"),
        (300.0, Level.WARN, "300 s"),
        (-301.0, Level.FAIL, "behind AWS's"),
        (None, Level.SKIP, "date"),
    ],
)
def test_the_clock(seconds: float | None, level: Level, word: str) -> None:
    found = judge_clock(seconds)
    assert found.level is level
    assert word in found.text


@pytest.mark.parametrize(
    ("sent", "received", "expected"),
    [(0.2, 0.3, 0.0), (-0.1, 0.5, 0.0), (1.5, 1.6, 0.5), (61.0, 62.0, 60.0), (-31.0, -30.0, -30.0)],
)
def test_the_skew_is_only_what_a_slow_call_and_whole_seconds_do_not_explain(
    sent: float, received: float, expected: float
) -> None:
    found = skew(NOON, sent=NOON_SECONDS + sent, received=NOON_SECONDS + received)
    assert found == pytest.approx(expected)


def test_a_date_that_is_none_is_no_skew() -> None:
    assert skew("yesterday", sent=0, received=1) is None


def test_faults_have_a_code_and_no_text() -> None:
    refused = ClientError({"Error": {"Code": "AccessDenied", "Message": "arn and all"}}, "Publish")
    assert fault(refused) == Fault("AccessDenied")
    assert fault(refused).denied
    assert fault(ClientError({}, "Publish")).code == "no code"
    assert fault(NoCredentialsError()).credentials
    away = fault(EndpointConnectionError(endpoint_url="http://somewhere"))
    assert away == Fault("EndpointConnectionError", unreachable=True)
    assert fault(ConnectionResetError()).unreachable
    assert Fault("QueueDoesNotExist").absent
