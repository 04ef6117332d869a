"""Whether this task works, and whether it is ending: the one answer for probes, metrics, streams and connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class Health:
    """Asks each dependency whether it works."""

    def __init__(self, *, dependencies: Mapping[str, Callable[[], str | None]]) -> None:
        """Each dependency, by name, is a call that says what is wrong with it; None: nothing."""
        self._dependencies = dependencies
        self._was_ready = False
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether the task is ending: no stream is opened, and every answer closes its connection."""
        return self._draining

    def begin_drain(self) -> None:
        """Note that the task is ending. Idempotent."""
        self._draining = True

    def troubles(self) -> dict[str, str | None]:
        """Give what is wrong with each dependency, by name."""
        found = {name: probe() for name, probe in self._dependencies.items()}
        self._was_ready = self._was_ready or not any(found.values())
        return found

    def ready(self) -> bool:
        """Whether every dependency works and the task is not ending."""
        return not any(self.troubles().values()) and not self._draining

    def healthy(self) -> bool:
        """Whether the load balancer should keep the task.

        After a task was ready once, a dependency that is away is no reason to replace it. Its streams would be lost,
        and the next task would find the same dependency away.
        """
        return self._was_ready or not any(self.troubles().values())
