"""``GET /events/poll`` over HTTP: what is special about polls."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.chain import Chain
from tests.integration.test_stream import user


def poll(chain: Chain, name: str, cursor: str | None = None, **query: Any) -> dict[str, Any]:
    """Poll once, and return the answer."""
    params = {**query, **({"lastEventId": cursor} if cursor else {})}
    response = chain.get("/events/poll", params=params, headers=chain.headers(name))
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_a_first_poll_is_given_the_position_at_once_even_if_it_may_wait(chain: Chain) -> None:
    name = user()
    first = poll(chain, name, wait=50)
    cursor = first.pop("cursor")
    assert first == {"events": [], "gap": None, "resumed": False, "user": name, "more": False}
    chain.put("a", user_id=name, event_type="t")
    second = poll(chain, name, cursor, wait=50)
    assert [(event["type"], event["data"]) for event in second["events"]] == [("t", "a")]
    assert second["resumed"] is True


@pytest.mark.parametrize("wait", ["", "-1", "51", "1.5", "1s", "x", "٣", "100"])
def test_a_wait_that_is_not_an_integer_from_0_to_50_is_refused(chain: Chain, wait: str) -> None:
    response: httpx.Response = chain.get("/events/poll", params={"wait": wait}, headers=chain.headers(user()))
    assert response.status_code == 400
    assert "from 0 to 50" in response.json()["detail"]
