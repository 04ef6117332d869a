"""Explains failed calls to SQS: what each error code means in plain words, and what to do."""

from __future__ import annotations

from typing import NamedTuple

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

AWS_ERRORS = (ClientError, BotoCoreError, aiohttp.ClientError, OSError, TimeoutError)
"""The exceptions that a call to AWS may raise."""

PARSER_ERRORS = (ResponseParserError, KeyError)
"""What botocore raises besides, if something other than AWS answers, such as a proxy with a page.

KeyError is for a page that is well-formed XML. Credentials that come from STS can raise them in any call."""

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_ABSENT = frozenset(
    {"CredentialRetrievalError", "LoginRefreshRequired", "LoginTokenLoadError", "MetadataRetrievalError"}
    | {"MissingAuthenticationToken", "NoAuthTokenError", "NoCredentialsError", "PartialCredentialsError"}
    | {"SSOTokenLoadError", "TokenRetrievalError", "UnauthorizedSSOTokenError"}
)
_INVALID = frozenset(
    {"AuthFailure", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSecurity", "InvalidSecurityToken"}
    | {"InvalidSignatureException", "SignatureDoesNotMatch", "UnrecognizedClientException"}
)

CREDENTIAL_CODES = _EXPIRED | _ABSENT | _INVALID
"""Error codes and exception classes after which new credentials may help: AWS's common errors, and the exceptions
that botocore raises when it finds no credentials."""

_NO_QUEUE = frozenset({"404", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_DENIED = frozenset({"403", "AccessDenied", "AccessDeniedException"})
_THROTTLED = frozenset(
    {"429", "KMS.ThrottlingException", "KmsThrottled", "RequestLimitExceeded", "RequestThrottled"}
    | {"RequestThrottledException", "Throttling", "ThrottledException", "ThrottlingException"}
    | {"TooManyRequestsException"}
)
_KMS = ("KMS.", "Kms")
_UNREACHABLE = frozenset(
    {"ClientConnectorError", "ClientOSError", "ConnectTimeoutError", "ConnectionClosedError", "ConnectionError"}
    | {"EndpointConnectionError", "HTTPClientError", "OSError", "ProxyConnectionError", "ReadTimeoutError"}
    | {"ServerDisconnectedError", "TimeoutError"}
)
_SERVER = frozenset(
    {"500", "502", "503", "504", "InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable"}
)


class Explanation(NamedTuple):
    """A failure in plain words. Both texts may be shown in public: they contain nothing of a request or a response."""

    trouble: str
    """What is wrong."""
    remedy: str
    """What to do about it."""


def explain(code: str, *, queue_setting: str) -> Explanation:
    """Explain an AWS error code or an exception class. ``queue_setting`` is the setting that holds the queue's URL."""
    if code in _NO_QUEUE:
        return Explanation(
            f"the queue does not exist, or the role may not see it ({queue_setting})",
            "check the account, the region and the name in the URL",
        )
    if code in _DENIED:
        return Explanation(
            "the role may not use the queue",
            "allow it sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and sqs:GetQueueAttributes",
        )
    if code in _OTHERS:
        return _OTHERS[code]
    if code.startswith(_KMS):
        return _KMS_KEY
    # botocore uses the HTTP status for an error without a code. SQS always sends one.
    return _OTHERS["MalformedAnswer"] if len(code) == 3 and code.isdecimal() else _UNKNOWN


_KMS_KEY = Explanation("the queue's KMS key cannot be used", "allow the role kms:Decrypt, and check that it is enabled")
_UNKNOWN = Explanation("SQS refuses the calls; the log has its error code", "look the code up in the SQS API reference")
_EXPLANATIONS = {
    # botocore raises a plain RuntimeError when refreshed credentials have already expired.
    _EXPIRED | {"RuntimeError"}: Explanation(
        "the AWS credentials have expired", "they are looked up again; check what issues them"
    ),
    _ABSENT: Explanation("there are no AWS credentials", "give the task a role, or set AWS's environment variables"),
    _INVALID: Explanation("AWS refuses the credentials", "check the keys, and the clock of this machine"),
    _THROTTLED: Explanation("SQS throttles the calls", "nothing: they are retried more slowly"),
    _UNREACHABLE: Explanation(
        "the SQS endpoint cannot be reached",
        "check the subnet's NAT or VPC endpoint for sqs, its security group, and AWS_ENDPOINT_URL",
    ),
    _SERVER: Explanation("SQS answers with an internal error", "nothing: the calls are retried"),
    frozenset({"OverLimit"}): Explanation(
        "too many messages of the queue are in flight", "SQS allows 120,000; check the other readers of the queue"
    ),
    frozenset({"SSLError"}): Explanation(
        "the TLS certificate of the SQS endpoint is not trusted", "check AWS_CA_BUNDLE, and proxies that open TLS"
    ),
    frozenset({"MalformedAnswer"}): Explanation(
        "something other than SQS answers the calls", "check AWS_ENDPOINT_URL, and proxies between here and SQS"
    ),
}
_OTHERS = {code: explanation for codes, explanation in _EXPLANATIONS.items() for code in codes}
