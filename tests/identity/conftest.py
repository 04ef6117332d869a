"""A service under attack, which the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.identity.keys import SigningKey
from tests.identity.target import OPENED, Target, environment, target

SHARED = "shared"
"""The id of a key of each of the two issuers: the same id, other keys."""


@pytest.fixture(scope="module")
def shared_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with environment(tmp_path_factory.mktemp("provider"), "one", "two") as (login, out, queue):
        for name in ("one", "two"):
            login.publish(name, SigningKey.generate("RS256", kid=SHARED))
        with target(login, out, queue, ["one", "two"]) as running:
            for name in ("one", "two"):
                running.wait_for(name)
                # The proxy sees what is fetched.
                assert f"GET {login.issuer(name)}/keys" in out.proxy.targets
            yield running


@pytest.fixture
def attacked(shared_target: Target) -> Iterator[Target]:
    """The service. After the attack it has asked nothing that the attacker named, and still accepts good tokens."""
    yield shared_target
    assert shared_target.asked_outside == []
    for token in (shared_target.provider.token("one"), shared_target.own_back_end.sign("42")):
        assert shared_target.answer(("Authorization", f"Bearer {token}")) == OPENED
