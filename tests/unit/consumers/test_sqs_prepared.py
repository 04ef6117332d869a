"""Credentials that no header can hold are left to aiobotocore."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.credentials import ReadOnlyCredentials

from consumers.sqs.fast.prepared import Form
from consumers.sqs.fast.signer import Signer


class Keys:
    """Stands for aiobotocore's signer."""

    def __init__(self, *, access_key: str, token: str | None) -> None:
        self.found = ReadOnlyCredentials(access_key, "secret", token)

    async def get_auth_instance(self, *_: str) -> Any:
        return SimpleNamespace(credentials=self.found)


@pytest.mark.parametrize(
    ("access_key", "token", "plain"),
    [("key", None, True), ("key", "token", True), ("key", "token\nX-Other: 1", False), ("key\r\n", None, False)],
)
def test_a_line_end_in_a_key_or_a_token_ends_no_head(access_key: str, token: str | None, plain: bool) -> None:
    keys = Keys(access_key=access_key, token=token)
    signer = Signer({}, host="sqs", region="eu-west-1", service="sqs")
    form = Form("https://sqs/", cast("Any", None), signer, None, keys)
    assert asyncio.run(form.credentials()) == (keys.found if plain else None)
