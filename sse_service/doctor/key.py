"""``key``: the KMS key that encrypts the queue, which SNS must be allowed to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.policy_statements import ONLY_THIS_TOPIC, read_statements
from sse_service.doctor.report import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_service.doctor.aws_calls import Answer

_ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")
_MANAGED = "alias/aws/sqs"
_ALLOW = (
    'allow Principal {"Service": "sns.amazonaws.com"} kms:GenerateDataKey* and kms:Decrypt in the key\'s policy with '
    f"{ONLY_THIS_TOPIC}"
)


def customer_key(attributes: Mapping[str, str]) -> str | None:
    """Return the id of the queue's key, to ask KMS about it; None without a key, or if its alias is AWS's own."""
    name = attributes.get("KmsMasterKeyId") or None
    return None if name is None or name.endswith(_MANAGED) else name


def check_key(
    attributes: Mapping[str, str], described: Answer | None, policy: Answer | None, topic_arn: str | None
) -> Finding:
    """Check the queue's attributes, and the answers to kms:DescribeKey and kms:GetKeyPolicy for ``customer_key``.

    ``topic_arn`` is None if the topic's check failed. The key's policy is not checked then.
    """
    name = attributes.get("KmsMasterKeyId")
    if not name:
        by_sqs = attributes.get("SqsManagedSseEnabled") == "true"
        return ok("key", "encrypted by SQS itself (SSE-SQS)" if by_sqs else "not encrypted with a key")
    if customer_key(attributes) is None:
        return _managed()
    if isinstance(described, Fault):
        if described.absent:
            return fail("key", f"{name} does not exist ({described.code})", "encrypt the queue with another key")
        return _not_checked(name, described)
    found = (described or {}).get("KeyMetadata", {})
    if found.get("KeyManager") == "AWS":
        return _managed()
    if found.get("KeyState", "Enabled") != "Enabled":
        text = f"{name} is {found['KeyState']}: nothing can be sent or received"
        return fail("key", text, "enable it, or cancel its deletion")
    if isinstance(policy, Fault):
        return _not_checked(name, policy)
    if topic_arn is None:
        return skip("key", "the topic failed")
    try:
        text = str((policy or {}).get("Policy", ""))
        missing = [action for action in _ACTIONS if not _allows(text, action, topic_arn)]
    except ValueError:
        return warn("key", f"the policy of {name} cannot be read", f"make sure that you {_ALLOW}")
    if missing:
        return fail("key", f"the policy of {name} does not let SNS use it for {', '.join(missing)}", _ALLOW)
    return ok("key", f"{name}, enabled, and SNS may use it")


def _allows(policy: str, action: str, topic_arn: str) -> bool:
    statements = read_statements(policy, action=action)
    return any(each.allows and each.sns and (not topic_arn or each.applies_to(topic_arn)) for each in statements)


def _managed() -> Finding:
    fix = f"use SSE-SQS (SqsManagedSseEnabled), or a key of your own, and {_ALLOW}"
    return fail("key", f"the queue is encrypted with {_MANAGED}, whose policy does not let SNS use it", fix)


def _not_checked(name: str, fault: Fault) -> Finding:
    if fault.fix:
        return fail("key", f"KMS cannot be asked ({fault.code})", fault.fix)
    fix = f"allow the task's role kms:DescribeKey and kms:GetKeyPolicy, or make sure that you {_ALLOW}"
    return warn("key", f"{name} could not be checked ({fault.code})", fix)
