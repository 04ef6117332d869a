"""What is wrong with a message, for each reason, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.errors import ConsumerReason
from sse_service.model.reasons import RejectionReason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

ADVICE: Mapping[StrEnum, str] = {
    ConsumerReason.ATTRIBUTE: "a message attribute cannot be read; send text as String, and a JSON array as "
    "String.Array",
    ConsumerReason.DATA: "the data is not Base64, or is nested too deeply; send it as plain JSON",
    ConsumerReason.ENCODING: "the text is not Unicode; send UTF-8, without lone surrogates",
    ConsumerReason.ENVELOPE: "the SNS envelope is broken; send the message as SNS delivers it",
    ConsumerReason.HELD_TOO_LONG: "the event could not be stored for 12 hours; bring the message back",
    ConsumerReason.NUL: "the text contains U+0000; send it without",
    ConsumerReason.SUBSCRIPTION: "SNS asks to confirm a subscription; confirm it, or delete the message",
    RejectionReason.BROADCAST: "broadcast is neither true nor false; send one of them",
    RejectionReason.ID: "the event's id is empty, not a string or an integer, or contains a control character; send "
    "one line of text",
    RejectionReason.NAMES: "a user or group is not a string or an integer; send one, or a list of at most 100",
    RejectionReason.NOT_JSON: "the message names nobody; send user_id, group or broadcast=true as a message attribute",
    RejectionReason.OVERRIDE: "an expression of SSE_ROUTE_… failed on this message; correct the setting or the message",
    RejectionReason.S3: "a record has no object key, or is not from S3; let only S3 send records",
    RejectionReason.SIZE: "the encoded data is longer than SSE_MAX_EVENT_BYTES; send less, or a link to the data",
    RejectionReason.SUBJECT: "the subject is not a string, or contains a control character; send one line of text",
    RejectionReason.TIME: "the record's eventTime is not a string, or contains a control character; send RFC 3339",
    RejectionReason.TYPE: "the type is not a string, or contains a control character; send one line of text",
    RejectionReason.UNROUTED: "the message names nobody; send user_id, group or broadcast=true",
}
"""For a rejection that comes without its own advice."""

ASK_FOR_ATTRIBUTES = (
    "The message has no attributes here. If the producer sends some, receive it with `--message-attribute-names All`."
)
"""For a message that was received without attributes, and names nobody."""

SET_KEY_PATTERN = "SSE_S3_KEY_PATTERN must be set, and fit the object's key."
"""For an event of S3 that names nobody."""
