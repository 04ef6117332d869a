"""Where the user and the groups of a token are found: by a claim's name, or by JMESPath."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.auth.tokens.test_hs256 import refused, token, verify

ROLES = {"realm_access": {"roles": ["ops", 7]}, "cognito:groups": ["g"], "https://example.com/roles": ["h"]}


@pytest.mark.parametrize(
    ("claim", "groups"),
    [
        ("realm_access.roles", ("ops", "7")),
        ("cognito:groups", ("g",)),
        ('"cognito:groups"', ("g",)),
        ("https://example.com/roles", ("h",)),
        ("realm_access.roles[?type(@) == 'string']", ("ops",)),
        ('[realm_access.roles, "cognito:groups"][]', ("ops", "7", "g")),
        ("realm_access.nothing", ()),
        ("nothing.at.all", ()),
        ("no such claim", ()),
    ],
)
def test_groups_are_found_by_the_claims_name_or_by_jmespath(claim: str, groups: tuple[str, ...]) -> None:
    assert verify(token(**ROLES), groups_claim=claim).groups == groups


def test_a_claim_whose_name_looks_like_jmespath_is_found_by_its_name_first() -> None:
    claims = {**ROLES, "realm_access.roles": ["literal"]}
    assert verify(token(**claims), groups_claim="realm_access.roles").groups == ("literal",)


def test_the_user_may_be_in_a_nested_claim() -> None:
    assert verify(token(act={"id": 7}), user_claim="act.id").user == "7"
    assert refused(token(), user_claim="act.id") == "the token has no act.id claim"
    assert "act.id claim must be the user" in refused(token(act={"id": []}), user_claim="act.id")


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("keys(roles)", {"roles": "ops"}),
        ("to_array(abs(roles))", {"roles": "ops"}),
        ("nothing_like_it(roles)", {"roles": []}),
        ("ceil(roles)", {"roles": float("inf")}),
    ],
)
def test_jmespath_that_fails_on_a_token_is_named(claim: str, claims: dict[str, Any]) -> None:
    assert refused(token(**claims), groups_claim=claim).startswith(f"{claim} cannot be read from the token")


def test_a_token_with_client_id_is_good_before_and_after_the_audience_is_set() -> None:
    """So a back end's tokens can pass both the old and the new tasks of a deploy that sets SSE_JWT_AUDIENCE."""
    both = token(client_id="push")
    assert verify(both).user == verify(both, audiences=["push"]).user == "42"
    assert "no aud claim" in refused(token(), audiences=["push"])
    assert "SSE_JWT_AUDIENCE is not set" in refused(token(aud="push"))
    assert "client_id claim" in refused(token(client_id="other"), audiences=["push"])
