"""Whether this task works: for load balancers, deploy scripts and alarms."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class Health:
    """Asks each dependency whether it is ready."""

    def __init__(self, *, dependencies: Mapping[str, Callable[[], str | None]]) -> None:
        """Each is asked for what is wrong with it, None for nothing."""
        self._dependencies = dependencies
        self._was_ready = False
        self.draining = False
        """Set when the task begins to end."""

    def troubles(self) -> dict[str, str | None]:
        """What is wrong with each dependency, by name."""
        found = {name: probe() for name, probe in self._dependencies.items()}
        self._was_ready = self._was_ready or not any(found.values())
        return found

    def healthy(self) -> bool:
        """Whether the load balancer should keep the task.

        Once it was ready, an absent dependency is no reason to replace it: its streams would be lost, and the next
        task would find no more.
        """
        return self._was_ready or not any(self.troubles().values())
