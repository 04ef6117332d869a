"""The check of the task's identity, and Faults made of botocore's exceptions."""

from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from sse_service.doctor.aws_calls import Fault, fault
from sse_service.doctor.credentials import check_credentials
from sse_service.doctor.report import Level


def test_each_answer_of_sts_has_its_own_advice() -> None:
    arn = "arn:aws:sts::123456789012:assumed-role/push/1"
    assert check_credentials({"Arn": arn}).text == arn
    assert "taskRoleArn" in check_credentials(Fault("NoCredentialsError")).fix
    for code in ("InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch"):
        assert check_credentials(Fault(code)).level is Level.FAIL
    assert check_credentials(Fault("ConnectTimeoutError", unreachable=True)).level is Level.WARN
    assert check_credentials(Fault("Throttling")).level is Level.FAIL
    assert check_credentials(Fault("ValueError", fix="look here")).fix == "look here"


def test_a_fault_holds_a_code_and_never_the_text() -> None:
    refused = ClientError({"Error": {"Code": "AccessDenied", "Message": "arn and all"}}, "Publish")
    assert fault(refused) == Fault("AccessDenied")
    assert fault(refused).denied
    assert fault(ClientError({}, "Publish")).code == "no code"
    assert fault(NoCredentialsError()).credentials
    away = fault(EndpointConnectionError(endpoint_url="http://somewhere"))
    assert away == Fault("EndpointConnectionError", unreachable=True)
    assert fault(ConnectionResetError()).unreachable
    assert Fault("QueueDoesNotExist").absent
