"""Health latches, readiness does not."""

from sse_service.health import Health


def test_a_task_is_healthy_once_all_its_dependencies_were_there() -> None:
    up = {"consumer": False, "broker": True}
    health = Health(dependencies={name: lambda name=name: up[name] for name in up})  # type: ignore[misc]
    assert not health.healthy()
    up["consumer"] = True
    assert health.healthy()
    up["broker"] = False
    assert health.healthy()
    assert health.ready() == {"consumer": True, "broker": False}
