"""Health latches, readiness does not."""

from sse_service.telemetry.health import Health


def test_a_task_is_healthy_once_all_its_dependencies_were_there() -> None:
    troubles: dict[str, str | None] = {"consumer": "away", "broker": None}
    health = Health(dependencies={name: lambda name=name: troubles[name] for name in troubles})  # type: ignore[misc]  # mypy takes no default here
    assert not health.healthy()
    troubles["consumer"] = None
    assert health.healthy()
    troubles["broker"] = "away"
    assert health.healthy()
    assert health.troubles() == {"consumer": None, "broker": "away"}
