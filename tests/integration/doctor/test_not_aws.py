"""What `doctor` says if something other than AWS answers its calls."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.doctor.deployment import Deployment, Output
from tests.integration.not_aws import PAGES, not_aws

FIX = "check AWS_ENDPOINT_URL and HTTPS_PROXY"


@pytest.mark.parametrize("kind", PAGES)
def test_what_is_not_aws_is_said_to_be_so_and_the_other_checks_run(doctor: Callable[..., Output], kind: str) -> None:
    with not_aws(PAGES[kind]) as url:
        said = doctor(AWS_ENDPOINT_URL=url, SSE_QUEUE_URL=f"{url}/000000000000/events", SSE_AUTHORIZER_URL=f"{url}/who")
    assert said.status == 1
    failed = said.at("FAIL")
    for check in ("credentials", "queue", "topic"):
        assert failed[check].endswith(f"cannot be asked (what answered is not AWS): {FIX}"), said.text
    assert set(failed) <= {"credentials", "queue", "topic", "authorizer"}
    assert {"clock"} & set(said.at("skip") | said.at("warn")), said.text
    assert {"store", "descriptors"} <= set(said.at("ok"))
    assert "authorizer" in said.text


@pytest.mark.parametrize("kind", ["sign-in page", "sign-in page that is XML", "refusal of a proxy"])
def test_a_single_service_may_be_the_one_that_is_not_aws(
    sound: Deployment, doctor: Callable[..., Output], kind: str
) -> None:
    with not_aws(PAGES[kind]) as url:
        said = doctor(AWS_ENDPOINT_URL_SNS=url)
    assert said.status == 1
    assert set(said.at("FAIL")) == {"topic"}
    assert FIX in said.at("FAIL")["topic"]
