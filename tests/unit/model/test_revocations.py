"""Which credentials a table of revocations refuses, and that it stays bounded."""

from __future__ import annotations

import logging
import random
import sys
import tracemalloc

import pytest

from sse_service.model.errors import InvalidToken
from sse_service.model.principal import Principal
from sse_service.model.revocations import MAX_NAME_LENGTH, Revocation, RevocationTable, user_name

NOW = 1_000_000


class Clock:
    now = float(NOW)

    def __call__(self) -> float:
        return self.now


def principal(user: str = "42", *, issued: float | None = NOW - 10, credential: bytes = b"a" * 16) -> Principal:
    return Principal(user, (), NOW + 600, issued, credential)


def of_user(user: str = "42", *, at: int = NOW, until: int = NOW + 60) -> Revocation:
    return Revocation.of_user(user, at=at, until=until)


def of_token(user: str, number: int, *, until: int = NOW + 60) -> Revocation:
    return Revocation.of_token(Principal(user, (), until, None, number.to_bytes(16)), at=NOW)


def table(*revocations: Revocation, clock: Clock | None = None) -> RevocationTable:
    made = RevocationTable(clock=clock or Clock())
    made.merge(revocations)
    return made


@pytest.mark.parametrize(
    ("issued", "refused"),
    [
        (NOW - 10, True),
        (NOW, True),
        # The time of an authorizer's answer has fractions. A token's has not, so the whole second is refused.
        (NOW + 0.9, True),
        (NOW + 1, False),
        # The issuer's clock may be ahead.
        (NOW + 60, False),
        (NOW + 61, True),
        # Milliseconds.
        (NOW * 1000, True),
        (None, True),
        (float("nan"), True),
        (float("inf"), True),
        (-1, True),
    ],
)
def test_a_users_revocation_refuses_what_was_issued_up_to_its_second(issued: float | None, refused: bool) -> None:
    assert table(of_user()).refuses(principal(issued=issued)) is refused


def test_a_credential_from_the_future_counts_as_old_until_its_time_has_come() -> None:
    """Nothing tells it from one that is issued then. Only an issuer whose clock is wrong makes such a credential."""
    clock = Clock()
    held = table(of_user(until=NOW + 3600), clock=clock)
    ahead = principal(issued=NOW + 1800)
    for seconds, refused in ((0, True), (1739, True), (1740, False)):
        clock.now = NOW + seconds
        assert held.refuses(ahead) is refused


def test_another_users_credentials_are_not_refused() -> None:
    held = table(of_user("42"), of_token("42", 1))
    for user in ("43", "4", "42:", ":42", ""):
        assert not held.refuses(principal(user, credential=(1).to_bytes(16)))


def test_a_tokens_revocation_refuses_this_token_alone_whenever_it_was_issued() -> None:
    held = table(Revocation.of_token(principal(issued=NOW + 5), at=NOW))
    assert held.refuses(principal(issued=NOW + 5))
    assert not held.refuses(principal(credential=b"b" * 16))
    assert not held.refuses(principal(credential=b""))


def test_the_check_says_what_to_do() -> None:
    with pytest.raises(InvalidToken, match="the user's tokens were revoked: sign in again"):
        table(of_user()).check(principal())
    ended = principal(issued=NOW + 5)
    with pytest.raises(InvalidToken, match="this session was ended: sign in again"):
        table(Revocation.of_token(ended, at=NOW)).check(ended)
    table().check(principal())


def test_an_expired_revocation_refuses_nothing_and_is_forgotten() -> None:
    clock = Clock()
    held = table(of_user(until=NOW + 60), of_user("7", until=NOW + 90), of_token("42", 1, until=NOW + 60), clock=clock)
    clock.now += 60
    assert not held.refuses(principal())
    assert sorted(held.expire()) == [of_token("42", 1).key, "user:42"]
    assert held.entries() == [of_user("7", until=NOW + 90)]
    assert held.tokens_of("42") == 0
    assert held.expire() == []


def test_a_prolonged_revocation_lives_until_its_new_end() -> None:
    clock = Clock()
    held = table(of_user(until=NOW + 60), of_user(until=NOW + 90), clock=clock)
    clock.now += 60
    assert held.expire() == []
    assert held.refuses(principal())
    clock.now += 30
    assert held.expire() == ["user:42"]


def test_merging_in_any_order_gives_the_same_table_and_tells_what_changed() -> None:
    given = [of_user(user, at=at, until=NOW + until) for user in "ab" for at in (1, 2) for until in (50, 60)]
    given += [of_token("a", 1), of_token("a", 1), of_token("b", 1)]
    expected = {of_user("a", at=2), of_user("b", at=2), of_token("a", 1), of_token("b", 1)}
    for seed in range(20):
        random.Random(seed).shuffle(given)
        held = table()
        changed = held.merge(given)
        assert set(held.entries()) == expected <= set(changed)
        assert held.merge(given) == []
        assert (held.tokens_of("a"), held.tokens_of("b"), held.tokens_of("c")) == (1, 1, 0)


def test_a_revocation_names_its_user() -> None:
    for user in ("42", "a:b", "user:1", "token:x:y", "", "é" * MAX_NAME_LENGTH, "x" * 5_000):
        for revocation in (of_user(user), of_token(user, 1)):
            assert revocation.user == user_name(user)
    assert of_token("42", 1).is_for_one_token
    assert not of_user("token:42").is_for_one_token


def test_long_user_ids_take_little_room_and_are_not_mixed_up() -> None:
    long = "x" * 5_000
    held = table(of_user(long))
    assert held.refuses(principal(long))
    assert not held.refuses(principal(long + "y"))
    assert not held.refuses(principal("x" * MAX_NAME_LENGTH))
    assert len(held.entries()[0].key) < 300
    # No id is short enough to be kept and equal to the name of a long one.
    assert len(user_name(long)) > MAX_NAME_LENGTH


@pytest.mark.parametrize("user", ["x" * 64, "x" * 65, "é", "\U0001f600" * 16, "\U0001f600" * 5_000])
def test_no_id_makes_a_revocation_take_more_room_than_the_limit_says(user: str) -> None:
    for revocation in (of_user(user), of_token(user, 1)):
        assert sys.getsizeof(revocation.key) <= 160


@pytest.mark.parametrize(("users", "times"), [(10_000, 1), (10_000, 4), (1, 10_000)])
def test_a_table_takes_no_more_memory_than_the_limit_says(users: int, times: int) -> None:
    tracemalloc.start()
    try:
        held = RevocationTable(clock=Clock())
        for each in range(users * times):
            number = each % users
            held.merge([of_token(f"{chr(0x1F600) * 100}{number}", number, until=2**31 + each)])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(held) == users
    # MAX_ENTRIES says so. An empty table takes some memory, too.
    assert taken <= users * 700 + 20_000


def test_tokens_that_have_expired_do_not_count_for_their_user() -> None:
    clock = Clock()
    held = table(of_token("42", 1, until=NOW + 60), of_token("42", 2, until=NOW + 90), clock=clock)
    clock.now += 60
    assert held.tokens_of("42") == 1
    # Whoever asks for what has expired must still learn of it: the store forgets it then.
    assert held.expire() == [of_token("42", 1).key]
    assert held.expire() == []


@pytest.mark.parametrize("seconds", [61, 3_600, 10**9])
def test_a_revocation_from_the_future_locks_nobody_out_for_longer_than_the_leeway(
    seconds: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    given = [of_user(user, at=NOW + seconds, until=NOW + 7_200) for user in ("42", "7")]
    with caplog.at_level(logging.WARNING):
        held = table(*given, clock=clock)
    assert held.entries() == [of_user(user, at=NOW + 60, until=NOW + 7_200) for user in ("42", "7")]
    assert held.refuses(principal(issued=NOW + 60))
    clock.now += 61
    assert not held.refuses(principal(issued=NOW + 61))
    [record] = caplog.records
    assert record.getMessage() == (
        f"a revocation came from a clock that is {seconds} s ahead: it holds as if made 60 s from now; correct the "
        "clocks of the tasks"
    )


def test_revocations_from_the_future_may_come_in_any_order_and_more_than_once() -> None:
    given = [of_user(at=NOW + seconds, until=NOW + 7_200) for seconds in (-5, 0, 59, 60, 61, 3_600)]
    for seed in range(20):
        random.Random(seed).shuffle(given)
        held = table(*given)
        assert held.entries() == [of_user(at=NOW + 60, until=NOW + 7_200)]
        assert held.merge(given) == []


def test_at_the_limit_single_tokens_go_first_and_of_these_the_soonest_to_expire(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held = RevocationTable(clock=Clock(), max_entries=4)
    with caplog.at_level(logging.WARNING):
        held.merge([of_user("a", until=NOW + 1), of_user("b", until=NOW + 2)])
        held.merge([of_token("c", number, until=NOW + 60 - number) for number in range(5)])
        assert set(held.entries()) == {
            of_user("a", until=NOW + 1),
            of_user("b", until=NOW + 2),
            of_token("c", 0, until=NOW + 60),
            of_token("c", 1, until=NOW + 59),
        }
        assert held.tokens_of("c") == 2
        held.merge([of_user(str(number), until=NOW + 60) for number in range(4)])
    assert set(held.entries()) == {of_user(str(number), until=NOW + 60) for number in range(4)}
    assert [record.getMessage() for record in caplog.records] == [
        "more than 4 revocations are in force: those that expire soonest are forgotten early"
    ]


def test_at_the_limit_what_has_expired_goes_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    held = RevocationTable(clock=clock, max_entries=2)
    held.merge([of_user("a", until=NOW + 1), of_user("b", until=NOW + 60)])
    clock.now += 1
    held.merge([of_token("c", 1)])
    assert set(held.entries()) == {of_user("b", until=NOW + 60), of_token("c", 1)}
    assert not caplog.records
