"""A task stays healthy after it was ready once. Readiness follows the dependencies."""

from sse_service.telemetry.health import Health


def test_a_task_stays_healthy_after_all_its_dependencies_worked_once() -> None:
    troubles: dict[str, str | None] = {"consumer": "unavailable", "broker": None}
    health = Health(dependencies={name: lambda name=name: troubles[name] for name in troubles})  # type: ignore[misc]  # mypy takes no default here
    assert not health.healthy()
    troubles["consumer"] = None
    assert health.healthy()
    troubles["broker"] = "unavailable"
    assert health.healthy()
    assert health.troubles() == {"consumer": None, "broker": "unavailable"}
