"""A job's state never goes back."""

import itertools
from dataclasses import replace

import pytest

from sse_service.dev.jobs import Job, Jobs, State

JOB = Job(id="j1", user="ann", name="a.txt", key="users/ann/a.txt", message="")
STEPS = (
    JOB,
    replace(JOB, state=State.PROCESSING, progress=10),
    replace(JOB, state=State.PROCESSING, progress=80),
    replace(JOB, state=State.DONE, progress=100),
)


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS)))
def test_steps_in_any_order_lead_to_done(order: tuple[Job, ...]) -> None:
    jobs = Jobs()
    seen = []
    for step in order:
        jobs.update(step)
        seen += [job.rank for job in jobs.of("ann")]
    assert seen == sorted(seen)
    assert jobs.of("ann") == [STEPS[-1]]


def test_a_repeated_step_changes_nothing() -> None:
    jobs = Jobs()
    assert jobs.update(STEPS[1])
    assert not jobs.update(STEPS[1])


@pytest.mark.parametrize(("first", "second"), [(State.DONE, State.FAILED), (State.FAILED, State.DONE)])
def test_a_job_that_has_ended_stays_as_it_is(first: State, second: State) -> None:
    jobs = Jobs()
    jobs.update(replace(JOB, state=first, progress=55))
    assert not jobs.update(replace(JOB, state=second, progress=100))
    assert jobs.of("ann")[0].state is first


def test_a_user_sees_only_their_own_jobs_newest_first() -> None:
    jobs = Jobs()
    for user, number in (("ann", "1"), ("bob", "2"), ("ann", "3")):
        jobs.update(replace(JOB, id=number, user=user))
    jobs.update(replace(JOB, id="1", state=State.DONE))
    assert [job.id for job in jobs.of("ann")] == ["3", "1"]
    assert [job.id for job in jobs.of("bob")] == ["2"]
    assert jobs.of("eve") == []


def test_the_oldest_job_of_a_user_is_forgotten_first() -> None:
    jobs = Jobs(jobs_per_user=2)
    for number in "123":
        jobs.update(replace(JOB, id=number))
    assert [job.id for job in jobs.of("ann")] == ["3", "2"]


def test_the_user_who_was_idle_the_longest_is_forgotten_first() -> None:
    jobs = Jobs(users=2)
    for user in ("ann", "bob", "ann", "eve"):
        jobs.update(replace(JOB, id=user + str(len(jobs.of(user))), user=user))
    assert (len(jobs.of("ann")), len(jobs.of("bob")), len(jobs.of("eve"))) == (2, 0, 1)


def test_a_job_is_json_for_the_page() -> None:
    assert STEPS[1].as_json() == {
        "job": "j1",
        "name": "a.txt",
        "key": "users/ann/a.txt",
        "state": "processing",
        "progress": 10,
        "message": "",
    }
