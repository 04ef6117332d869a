"""A queue and a service that tests of a module share, and a queue for tests that start their own service."""

from collections.abc import Iterator

import pytest

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
