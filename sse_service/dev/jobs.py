"""The demo back end's store of jobs: the state that a page fetches, and that events only report."""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass


class State(enum.Enum):
    """How far a job is."""

    RECEIVED = "received"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"


_RANK = {State.RECEIVED: 0, State.PROCESSING: 1, State.DONE: 2, State.FAILED: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The processing of one uploaded file."""

    id: str
    user: str
    name: str
    key: str
    """Where the file is in the bucket."""
    state: State = State.RECEIVED
    progress: int = 0
    """0 to 100."""
    message: str = ""

    @property
    def rank(self) -> tuple[int, int]:
        """What may only grow; the page compares the same."""
        return _RANK[self.state], self.progress

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self.state in (State.DONE, State.FAILED)

    def as_json(self) -> dict[str, object]:
        """As the page reads it, whether fetched or pushed."""
        return {
            "job": self.id,
            "name": self.name,
            "key": self.key,
            "state": self.state.value,
            "progress": self.progress,
            "message": self.message,
        }


class Jobs:
    """Jobs by user; past its bounds it forgets the oldest job, and the user who was idle the longest."""

    def __init__(self, *, jobs_per_user: int = 100, users: int = 1000) -> None:
        self._per_user = jobs_per_user
        self._max_users = users
        self._users: OrderedDict[str, OrderedDict[str, Job]] = OrderedDict()

    def update(self, job: Job) -> bool:
        """Store a step, and say whether it was news.

        Idempotent and in any order, as at-least-once delivery asks: progress never falls, done and failed are final.
        """
        known = self.get(job.user, job.id)
        if known is not None and (known.final or job.rank <= known.rank):
            return False
        jobs = self._users.setdefault(job.user, OrderedDict())
        self._users.move_to_end(job.user)
        jobs[job.id] = job
        if len(jobs) > self._per_user:
            jobs.popitem(last=False)
        if len(self._users) > self._max_users:
            self._users.popitem(last=False)
        return True

    def get(self, user: str, job: str) -> Job | None:
        """One job."""
        jobs = self._users.get(user)
        return jobs.get(job) if jobs is not None else None

    def of(self, user: str) -> list[Job]:
        """A user's jobs, the newest first."""
        jobs = self._users.get(user)
        return list(reversed(jobs.values())) if jobs is not None else []
