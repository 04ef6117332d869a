"""Error codes are explained in words that may be shown on a public port."""

from __future__ import annotations

import pytest

from consumers.sqs.failures import explain


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("QueueDoesNotExist", "the queue does not exist, or the role may not see it (SSE_QUEUE_URL)"),
        (
            "AWS.SimpleQueueService.NonExistentQueue",
            "the queue does not exist, or the role may not see it (SSE_QUEUE_URL)",
        ),
        ("AccessDenied", "the role may not use the queue"),
        ("AccessDeniedException", "the role may not use the queue"),
        ("KMS.AccessDeniedException", "the queue's KMS key cannot be used"),
        ("KmsDisabled", "the queue's KMS key cannot be used"),
        ("KmsThrottled", "SQS throttles the calls"),
        ("NoCredentialsError", "there are no AWS credentials"),
        ("ExpiredToken", "the AWS credentials have expired"),
        ("ExpiredTokenException", "the AWS credentials have expired"),
        ("RuntimeError", "the AWS credentials have expired"),
        ("InvalidClientTokenId", "AWS refuses the credentials"),
        ("SignatureDoesNotMatch", "AWS refuses the credentials"),
        ("EndpointConnectionError", "the SQS endpoint cannot be reached"),
        ("ReadTimeoutError", "the SQS endpoint cannot be reached"),
        ("SSLError", "the TLS certificate of the SQS endpoint is not trusted"),
        ("RequestThrottled", "SQS throttles the calls"),
        ("ThrottlingException", "SQS throttles the calls"),
        ("OverLimit", "too many messages of the queue are in flight"),
        ("503", "SQS answers with an internal error"),
        ("MalformedAnswer", "something other than SQS answers the calls"),
        ("501", "something other than SQS answers the calls"),
        ("302", "something other than SQS answers the calls"),
    ],
)
def test_a_code_is_explained_in_plain_words(code: str, trouble: str) -> None:
    assert explain(code, queue_setting="SSE_QUEUE_URL").trouble == trouble


@pytest.mark.parametrize("code", ["123456789012", "Other", "canary-4711", ""])
def test_the_explanation_of_an_unknown_code_does_not_quote_it(code: str) -> None:
    trouble, remedy = explain(code, queue_setting="SSE_QUEUE_URL")
    assert trouble == "SQS refuses the calls; the log has its error code"
    assert not code or code not in trouble + remedy
