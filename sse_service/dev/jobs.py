"""The jobs of the demo's back end. A page fetches their state, and events report its changes."""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass


class State(enum.Enum):
    """The state of a job."""

    WAITING = "waiting"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"


_RANK = {State.WAITING: 0, State.PROCESSING: 1, State.DONE: 2, State.FAILED: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The processing of one uploaded file."""

    id: str
    user: str
    name: str
    key: str
    """The file's key in the bucket."""
    state: State = State.WAITING
    progress: int = 0
    """0 to 100."""
    message: str = "Waiting to be processed"

    @property
    def rank(self) -> tuple[int, int]:
        """Orders the steps of a job. The page compares steps in the same way."""
        return _RANK[self.state], self.progress

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.state in (State.DONE, State.FAILED)

    def as_json(self) -> dict[str, object]:
        """Return the job as the page gets it, both when it fetches jobs and in events."""
        return {
            "job": self.id,
            "name": self.name,
            "key": self.key,
            "state": self.state.value,
            "progress": self.progress,
            "message": self.message,
        }


class Jobs:
    """Jobs by user. Beyond the limits, a user's oldest job and the user who was idle the longest are forgotten."""

    def __init__(self, *, jobs_per_user: int = 100, users: int = 1000) -> None:
        self._per_user = jobs_per_user
        self._max_users = users
        self._users: OrderedDict[str, OrderedDict[str, Job]] = OrderedDict()

    def update(self, job: Job) -> bool:
        """Store a step of a job, and return whether it was new.

        Steps may come repeatedly and in any order, because queues deliver at least once. Progress never decreases, and
        a job that is done or failed does not change.
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
        """Return one job."""
        jobs = self._users.get(user)
        return jobs.get(job) if jobs is not None else None

    def of(self, user: str) -> list[Job]:
        """Return a user's jobs, newest first."""
        jobs = self._users.get(user)
        return list(reversed(jobs.values())) if jobs is not None else []
