"""A load balancer's keys are fetched once, kept, and asked for at a limited rate."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sse_service.auth.alb import keys as alb_keys
from sse_service.auth.alb.keys import ALBKeys, keys_url
from sse_service.model.errors import InvalidToken, Overloaded
from tests.integration.load_balancer import KID, pem
from tests.integration.process import DEADLINE
from tests.unit.auth.alb.endpoint import URL, Endpoint
from tests.unit.task import wait_until

pytestmark = pytest.mark.anyio
KEY = ec.generate_private_key(ec.SECP256R1())


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint({KID: KEY})


@pytest.fixture
def keys(endpoint: Endpoint, clock: Clock) -> ALBKeys:
    return ALBKeys(url=URL, fetch=endpoint.fetch, clock=clock)


@pytest.mark.parametrize(
    ("partition", "region", "url"),
    [
        ("aws", "eu-west-1", "https://public-keys.auth.elb.eu-west-1.amazonaws.com/"),
        (
            "aws-us-gov",
            "us-gov-west-1",
            "https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1/",
        ),
        ("aws-cn", "cn-north-1", "https://public-keys.auth.elb.cn-north-1.amazonaws.com.cn/"),
    ],
)
def test_the_address_of_the_keys_follows_from_the_arn(partition: str, region: str, url: str) -> None:
    arn = f"arn:{partition}:elasticloadbalancing:{region}:123456789012:loadbalancer/app/push/0123456789abcdef"
    assert keys_url(arn) == url


async def test_a_key_is_fetched_once_for_all_requests_that_wait_for_it(keys: ALBKeys, endpoint: Endpoint) -> None:
    endpoint.gate.clear()
    waiting = [asyncio.create_task(keys.key(KID)) for _ in range(100)]
    await eventually(lambda: endpoint.asked != [])
    endpoint.gate.set()
    found = await asyncio.gather(*waiting, keys.key(KID))
    assert len({id(key) for key in found}) == 1
    assert endpoint.asked == [URL + KID]


async def test_a_client_that_leaves_does_not_take_the_key_from_the_others(keys: ALBKeys, endpoint: Endpoint) -> None:
    endpoint.gate.clear()
    first, second = (asyncio.create_task(keys.key(KID)) for _ in range(2))
    await eventually(lambda: endpoint.asked != [])
    first.cancel()
    await asyncio.wait([first])
    endpoint.gate.set()
    assert await second
    assert len(endpoint.asked) == 1


async def test_a_slow_fetch_does_not_delay_users_of_a_known_key(keys: ALBKeys, endpoint: Endpoint) -> None:
    await keys.key(KID)
    endpoint.gate.clear()
    slow = asyncio.create_task(keys.key(str(uuid.uuid4())))
    await eventually(lambda: len(endpoint.asked) == 2)
    assert await keys.key(KID)
    assert not slow.done()
    endpoint.gate.set()
    with pytest.raises(InvalidToken):
        await slow


async def test_an_id_that_aws_does_not_know_is_not_asked_for_again_for_a_while(
    keys: ALBKeys, endpoint: Endpoint, clock: Clock
) -> None:
    kid = str(uuid.uuid4())
    for _ in range(3):
        with pytest.raises(InvalidToken):
            await keys.key(kid)
    assert endpoint.asked == [URL + kid]
    clock.now += alb_keys.UNKNOWN_SECONDS
    endpoint.keys[kid] = pem(KEY)
    assert await keys.key(kid)
    assert keys.trouble is None


async def test_invented_ids_are_fetched_at_a_limited_rate(keys: ALBKeys, endpoint: Endpoint, clock: Clock) -> None:
    async def ask() -> type[Exception]:
        with pytest.raises((InvalidToken, Overloaded)) as refused:
            await keys.key(str(uuid.uuid4()))
        return refused.type

    assert [await ask() for _ in range(20)] == [InvalidToken] * alb_keys.FETCHES_AT_ONCE + [Overloaded] * 10
    clock.now += 60
    await asyncio.gather(*(ask() for _ in range(100)))
    clock.now += alb_keys.SECONDS_PER_FETCH
    await asyncio.gather(*(ask() for _ in range(100)))
    assert len(endpoint.asked) == 2 * alb_keys.FETCHES_AT_ONCE + 1


async def test_during_a_flood_of_invented_ids_known_keys_work_and_a_new_one_gets_its_turn(
    keys: ALBKeys, endpoint: Endpoint, clock: Clock
) -> None:
    await keys.key(KID)
    await asyncio.gather(*(keys.key(str(uuid.uuid4())) for _ in range(100)), return_exceptions=True)
    assert await keys.key(KID)
    new = str(uuid.uuid4())
    endpoint.keys[new] = pem(KEY)
    with pytest.raises(Overloaded):
        await keys.key(new)
    clock.now += alb_keys.SECONDS_PER_FETCH
    assert await keys.key(new)


async def test_what_is_remembered_is_bounded(keys: ALBKeys, endpoint: Endpoint, clock: Clock) -> None:
    for known in [True] * 3 * alb_keys.MAX_KEYS + [False] * 200:
        kid = str(uuid.uuid4())
        clock.now += alb_keys.SECONDS_PER_FETCH
        if known:
            endpoint.keys[kid] = pem(KEY)
            await keys.key(kid)
        else:
            with pytest.raises(InvalidToken):
                await keys.key(kid)
    assert len(keys._keys) == alb_keys.MAX_KEYS
    assert len(keys._unknown) <= alb_keys.FETCHES_AT_ONCE + alb_keys.UNKNOWN_SECONDS / alb_keys.SECONDS_PER_FETCH


async def test_an_endpoint_that_is_away_is_overload_and_trouble_until_it_answers(
    keys: ALBKeys, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.away = True
    for _ in range(2):
        with pytest.raises(Overloaded):
            await keys.key(KID)
    assert keys.trouble == "keys.example.com: it cannot be reached"
    assert len(caplog.records) == 1
    endpoint.away = False
    assert await keys.key(KID)
    assert keys.trouble is None


async def test_an_error_that_nobody_expected_is_overload_and_logged_with_its_traceback(
    keys: ALBKeys, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.fault = RuntimeError("a bug")
    for result in await asyncio.gather(*(keys.key(KID) for _ in range(3)), return_exceptions=True):
        assert isinstance(result, Overloaded)
    assert keys.trouble == "keys.example.com: unexpected RuntimeError"
    [line] = caplog.records
    assert line.exc_info is not None
    assert line.exc_info[1] is endpoint.fault
    endpoint.fault = None
    assert await keys.key(KID)
    assert keys.trouble is None


async def test_trouble_ends_by_itself_because_without_a_request_nothing_is_fetched(
    keys: ALBKeys, endpoint: Endpoint, clock: Clock
) -> None:
    endpoint.away = True
    with pytest.raises(Overloaded):
        await keys.key(KID)
    clock.now += alb_keys.TROUBLE_SECONDS
    assert keys.trouble is None


async def test_a_key_is_used_for_a_day_while_the_endpoint_is_away(
    keys: ALBKeys, endpoint: Endpoint, clock: Clock
) -> None:
    await keys.key(KID)
    endpoint.away = True
    clock.now += alb_keys.KEY_SECONDS - 1
    assert await keys.key(KID)
    clock.now += 1
    with pytest.raises(Overloaded):
        await keys.key(KID)


async def test_a_key_that_aws_has_withdrawn_is_dropped(keys: ALBKeys, endpoint: Endpoint, clock: Clock) -> None:
    await keys.key(KID)
    del endpoint.keys[KID]
    clock.now += alb_keys.REFRESH_SECONDS + 1
    assert await keys.key(KID)  # fetches it again in the background
    await eventually(lambda: len(endpoint.asked) == 2 and not keys._fetching)
    with pytest.raises(InvalidToken):
        await keys.key(KID)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>sign in to the Wi-Fi</html>",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ec.generate_private_key(ec.SECP256K1())),
        pem(rsa.generate_private_key(65537, 2048)),
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ],
)
async def test_what_is_no_p256_public_key_cannot_be_used_and_is_trouble(
    keys: ALBKeys, endpoint: Endpoint, document: bytes
) -> None:
    endpoint.keys[KID] = document
    with pytest.raises(Overloaded):
        await keys.key(KID)
    assert "P-256" in (keys.trouble or "")


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        await wait_until(condition)
