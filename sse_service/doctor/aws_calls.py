"""Calls to AWS that return a ``Fault`` instead of raising."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as ConnectionFault

from consumers.sqs.failures import AWS_ERRORS, CREDENTIAL_CODES
from sse_service.aws import NotAWS, aws_only
from sse_service.doctor.clock import clock_skew

_DENIED = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException"}
    | {"KMS.AccessDeniedException", "KMSAccessDenied", "KMSAccessDeniedException", "UnauthorizedOperation"}
)
_ABSENT = frozenset(
    {"404", "AWS.SimpleQueueService.NonExistentQueue", "NotFound", "NotFoundException", "QueueDoesNotExist"}
)

_FIX_CREDENTIALS = (
    "unset AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN, which ECS does not need; on "
    "another platform they must point to this host or to the platform"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call failed: AWS's code, the exception's class or that it was not AWS that answered.

    The exception's text is not in it: it may quote a request.
    """

    code: str
    unreachable: bool = False
    """Whether nothing answered."""
    fix: str = ""
    """How to fix the environment, if it prevented the call."""

    @property
    def denied(self) -> bool:
        """Whether the role lacks a permission."""
        return self.code in _DENIED

    @property
    def absent(self) -> bool:
        """Whether the resource does not exist."""
        return self.code in _ABSENT

    @property
    def credentials(self) -> bool:
        """Whether there are no credentials, or AWS does not accept them."""
        return self.code in CREDENTIAL_CODES or self.fix == _FIX_CREDENTIALS


Answer = Mapping[str, Any] | Fault

_NOT_AWS = Fault("what answered is not AWS", fix="check AWS_ENDPOINT_URL and HTTPS_PROXY")


class Calls:
    """Calls AWS with the credentials of this process."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._session = AioSession()
        self._clients: dict[str, Any] = {}
        self._stack = AsyncExitStack()
        self.skew: float | None = None
        """How many seconds the local clock is ahead of AWS's; None until an answer has a date."""

    async def ask(self, service: str, operation: str, **parameters: Any) -> Answer:
        """Call an operation, named as in botocore."""
        sent = time.time()
        try:
            with aws_only():
                client = await self._client(service)
                answer: Mapping[str, Any] = await getattr(client, operation)(**parameters)
        except ClientError as error:
            self._read_date(error.response, sent)
            return fault(error)
        except (*AWS_ERRORS, RuntimeError) as error:
            return fault(error)
        except ValueError as error:
            return Fault(type(error).__name__, fix=await self._fix(service))
        # botocore takes JSON of any other kind for an empty answer. AWS gives none to what is asked here.
        if answer.keys() <= {"ResponseMetadata"}:
            return _NOT_AWS
        self._read_date(answer, sent)
        return answer

    async def _fix(self, service: str) -> str:
        """Say how to fix the cause of a ValueError. botocore raises it for invalid environment variables."""
        try:
            await self._session.get_credentials()
        except ValueError:
            return _FIX_CREDENTIALS
        if service in self._clients:
            return "check AWS_SECRET_ACCESS_KEY and the other AWS_ variables for stray characters"
        name = f"AWS_ENDPOINT_URL_{service.upper()}"
        return f"unset {name} and AWS_ENDPOINT_URL, or set them to an address such as https://vpce.example.com"

    async def _client(self, service: str) -> Any:
        if service not in self._clients:
            config = AioConfig(
                connect_timeout=3,
                read_timeout=10,
                retries={"mode": "standard", "total_max_attempts": 2},
                parameter_validation=False,
                user_agent="sse-service-doctor",
            )
            made = self._session.create_client(service, region_name=self._region, config=config)
            self._clients[service] = await self._stack.enter_async_context(made)
        return self._clients[service]

    def _read_date(self, answer: Mapping[str, Any], sent: float) -> None:
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if self.skew is None and date:
            self.skew = clock_skew(str(date), sent=sent, received=time.time())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def fault(error: Exception) -> Fault:
    """Make a Fault of an exception that botocore or ``aws_only`` raised."""
    if isinstance(error, NotAWS):
        return _NOT_AWS
    if isinstance(error, ClientError):
        return Fault(str(error.response.get("Error", {}).get("Code") or "no code"))
    return Fault(type(error).__name__, unreachable=isinstance(error, ConnectionFault | HTTPClientError | OSError))
