"""The task's health: whether its dependencies work, and whether it is draining."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

PROBED_SECONDS = 330.0
"""How long a load balancer's last question counts. An ALB asks at least every 300 s."""


class Health:
    """The one source of the task's health for probes, metrics, streams and connections."""

    def __init__(
        self,
        *,
        dependencies: Mapping[str, Callable[[], str | None]],
        for_identity: Mapping[str, Callable[[], str | None]] | None = None,
        notes: Mapping[str, Callable[[], str | None]] | None = None,
    ) -> None:
        """``dependencies`` maps each name to a function that returns what is wrong, or None if nothing is.

        ``for_identity`` are the dependencies that only tell who a client is. A task whose identity provider is away
        is not ready, but the load balancer should keep it: it serves all clients that it can identify.

        ``notes`` maps names of dependencies to functions that return what an operator should know although the task
        does its work, such as an outage that is bridged for now; None if there is nothing. A note never makes the
        task unready.
        """
        self._dependencies = dependencies
        self._for_identity = for_identity or {}
        self._notes = notes or {}
        self._was_ready = False
        self._draining = False
        self._probed: float | None = None

    @property
    def draining(self) -> bool:
        """Whether the task is ending. If so, no stream is opened, and every response closes its connection."""
        return self._draining

    def begin_drain(self) -> None:
        """Note that the task is ending. It may be called more than once."""
        self._draining = True

    @property
    def probed(self) -> bool:
        """Whether a load balancer asks for the task's health, and so may go on sending requests for a while."""
        return self._probed is not None and time.monotonic() - self._probed < PROBED_SECONDS

    def note_probe(self) -> None:
        """Note that a load balancer has asked."""
        self._probed = time.monotonic()

    def troubles(self) -> dict[str, str | None]:
        """Return what is wrong with each dependency, by name; None for one that works."""
        found = {name: probe() for name, probe in self._dependencies.items()}
        self._was_ready = self._was_ready or not any(found.values())
        return found | {name: probe() for name, probe in self._for_identity.items()}

    def notes(self) -> dict[str, str]:
        """Return what an operator should know about dependencies that work, by name."""
        return {name: found for name, note in self._notes.items() if (found := note())}

    def ready(self) -> bool:
        """Whether every dependency works and the task is not ending."""
        return not any(self.troubles().values()) and not self._draining

    def healthy(self) -> bool:
        """Whether the load balancer should keep the task.

        After a task was ready once, an unavailable dependency is no reason to replace it. Its streams would be lost,
        and the next task could not reach the dependency either.
        """
        if not self._was_ready:
            self.troubles()
        return self._was_ready
