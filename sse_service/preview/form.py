"""How a message is wrapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.sns import read_notification
from consumers.text import parse
from sse_service.model.values import value
from sse_service.routing import s3

if TYPE_CHECKING:
    from consumers.envelope import Envelope
    from sse_service.preview.messages import QueueMessage


@value
class Form:
    """The wrappers of a message, from the outside in."""

    is_sns: bool
    is_s3: bool
    content: str

    def __str__(self) -> str:
        return f"SNS notification of {self.content}" if self.is_sns else self.content


def form_of(message: QueueMessage, envelope: Envelope) -> Form:
    """Return the form of a message that could be unwrapped."""
    found, wrapper, body = parse(message.body), envelope.wrapper, envelope.body
    is_sns = isinstance(found, dict) and "TopicArn" in found and read_notification(found) is not None
    if wrapper is not None and "specversion" in wrapper:
        return Form(is_sns, False, "a CloudEvent")
    if wrapper is not None:
        is_s3 = envelope.source == s3.EVENTBRIDGE_SOURCE
        return Form(is_sns, is_s3, "an EventBridge event of S3" if is_s3 else "an EventBridge event")
    is_s3 = isinstance(body, dict) and (s3.is_test_event(body) or s3.records(body) is not None)
    return Form(is_sns, is_s3, "an S3 notification" if is_s3 else "a plain message")
