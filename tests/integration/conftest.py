"""Queues, services and back ends that the tests of a module share, and a queue for tests with their own service."""

from collections.abc import Iterator

import pytest

from tests.integration.authorizer_chain import backend_process
from tests.integration.chain import Chain, queue_stub, service


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with queue_stub() as url, service(url, cors_origins="https://app.example.com") as running:
        yield running


@pytest.fixture
def queue() -> Iterator[str]:
    """A queue that no other service reads."""
    with queue_stub() as url:
        yield url


@pytest.fixture(scope="module")
def backend() -> Iterator[str]:
    """The URL of a back end."""
    with backend_process() as (_, url):
        yield url


@pytest.fixture(scope="module")
def asking(backend: str) -> Iterator[Chain]:
    """A service that asks the back end, and accepts tokens as well."""
    with (
        queue_stub() as queue,
        service(
            queue,
            authorizer_url=f"{backend}/push-user?app=1",
            cors_origins="https://app.example.com",
            max_streams_per_user="1000",
            opens_per_second="0",
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def without_tokens(backend: str) -> Iterator[Chain]:
    """A service that asks the back end about everybody."""
    with queue_stub() as queue, service(queue, authorizer_url=f"{backend}/push-user", jwt_secret="") as running:
        yield running
