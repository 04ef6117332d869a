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


def test_an_identity_provider_that_is_away_makes_a_task_unready_but_never_unhealthy() -> None:
    health = Health(dependencies={"broker": lambda: None}, for_identity={"issuer": lambda: "it cannot be reached"})
    assert not health.ready()
    assert health.healthy()


def test_a_note_does_not_make_a_task_unready() -> None:
    notes: dict[str, str | None] = {"issuer": "old keys are in use"}
    health = Health(
        dependencies={"broker": lambda: None},
        for_identity={"issuer": lambda: None},
        notes={"issuer": lambda: notes["issuer"]},
    )
    assert health.ready()
    assert health.healthy()
    assert health.troubles() == {"broker": None, "issuer": None}
    assert health.notes() == {"issuer": "old keys are in use"}
    notes["issuer"] = None
    assert health.notes() == {}
