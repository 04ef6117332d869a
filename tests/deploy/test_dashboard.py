"""The Grafana dashboard asks for metrics, labels and values that the service has, in PromQL that can be parsed."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sse_service.settings.settings import Settings
from sse_service.telemetry.metrics import Metrics
from tests.deploy.template import ROOT, VALKEY, raw
from tests.integration.chain import queue_stub, service

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
PANELS: dict[str, Any] = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
VARIABLES: dict[str, Any] = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
QUERIES = [
    (title, target["expr"], target["legendFormat"]) for title, panel in PANELS.items() for target in panel["targets"]
]

every_query = pytest.mark.parametrize(
    ("title", "query", "legend"), QUERIES, ids=[f"{title}: {legend}" for title, _, legend in QUERIES]
)

LEFT_OUT = {"sse_process_virtual_memory_bytes"}
"""Metrics that no panel shows: reserved addresses say nothing about what a task needs."""

OF_PROMETHEUS = {"job", "instance"}
"""The labels that Prometheus adds."""


@cache
def known() -> dict[str, dict[str, set[str]]]:
    """The labels of each sample that a task exports, with their values."""
    metrics = Metrics()
    metrics.failed("ReceiveMessage", "AccessDenied")  # this one has no series until a call fails
    return labels_by_sample(metrics.render().decode())


def labels_by_sample(exported: str) -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(exported):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def parsed(query: str) -> promql_parser.Expr:
    """Parse a query as Prometheus gets it: with values in place of Grafana's variables."""
    return promql_parser.parse(re.sub(r"\$(?:job|task)\b", ".+", query.replace("$__rate_interval", "1m")))


def nodes(expression: promql_parser.Expr) -> list[promql_parser.Expr]:
    found: list[promql_parser.Expr] = []
    promql_parser.walk(expression, found.append)
    return found


def selectors(query: str) -> Iterator[promql_parser.VectorSelector]:
    for node in nodes(parsed(query)):
        if isinstance(node, promql_parser.MatrixSelector):
            yield node.vector_selector
        elif isinstance(node, promql_parser.VectorSelector):
            yield node


def asked() -> set[str]:
    """The samples that the dashboard asks for."""
    return {selector.name for _, query, _ in QUERIES for selector in selectors(query)}


@every_query
def test_a_query_asks_for_samples_labels_and_values_that_there_are(title: str, query: str, legend: str) -> None:
    found = list(selectors(query))
    assert found, title
    for selector in found:
        labels = known()[selector.name]
        matchers = {matcher.name: matcher for matcher in selector.matchers.matchers}
        # Every query can be narrowed by the dashboard's variables.
        assert set(matchers) >= OF_PROMETHEUS
        for name in set(matchers) - OF_PROMETHEUS:
            assert matchers[name].op == promql_parser.MatchOp.Equal
            assert matchers[name].value in labels[name]


@every_query
def test_a_query_groups_by_labels_that_there_are_and_its_legend_shows_them(title: str, query: str, legend: str) -> None:
    grouped: set[str] = set()
    for node in nodes(parsed(query)):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            names = set(node.modifier.labels)
            for selector in selectors(node.expr.prettify()):
                assert names <= set(known()[selector.name]) | OF_PROMETHEUS, title
            grouped |= names
    # histogram_quantile consumes le.
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) == grouped - {"le"}


@every_query
def test_counters_are_shown_as_rates_and_gauges_are_not(title: str, query: str, legend: str) -> None:
    for node in nodes(parsed(query)):
        if isinstance(node, promql_parser.Call) and node.func.name in ("rate", "increase", "avg_over_time"):
            [over] = node.args
            is_counter = over.vector_selector.name.endswith(("_total", "_bucket"))
            assert is_counter is (node.func.name != "avg_over_time"), title
    rated = set(re.findall(r"(?:rate|increase)\((\w+)", query))
    assert {each.name for each in selectors(query) if each.name.endswith(("_total", "_bucket"))} == rated


def test_every_metric_of_a_task_is_shown_or_left_out_for_a_reason() -> None:
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked()}
    all_of_them = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known()}
    missing, unknown = all_of_them - shown - LEFT_OUT, shown & LEFT_OUT
    assert not missing, f"add to deploy/grafana-dashboard.json, or to LEFT_OUT: {missing}"
    assert not unknown


def test_a_running_service_exports_what_the_dashboard_asks_for() -> None:
    with queue_stub() as queue, service(queue) as running:
        exported = labels_by_sample(running.client.get(f"{running.admin}/metrics").text)
    assert asked() - set(exported) == {"sse_sqs_failures_total"}, "it has no series until a call fails"


# ---- Grafana


def test_the_dashboard_can_be_imported_as_it_is() -> None:
    assert DASHBOARD["id"] is None
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("sse-service", "sse-service")
    # The version of Grafana 10.4 to 11. Newer ones migrate it when they read it.
    assert DASHBOARD["schemaVersion"] == 39
    assert {"__inputs", "__requires"}.isdisjoint(DASHBOARD)


def test_the_data_source_is_chosen_on_the_dashboard() -> None:
    assert VARIABLES["datasource"]["type"] == "datasource"
    assert VARIABLES["datasource"]["query"] == "prometheus"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS.values():
        assert all(part["datasource"] == chosen for part in (panel, *panel["targets"]))
    for name in ("job", "task"):
        assert VARIABLES[name]["datasource"] == chosen


def test_jobs_and_tasks_are_those_that_have_streams() -> None:
    for name, label in (("job", "job"), ("task", "instance")):
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[name]["definition"])
        assert match
        [selector] = selectors(match[1])
        assert (selector.name, match[2]) == ("sse_streams_open", label)
        assert VARIABLES[name]["query"]["query"] == VARIABLES[name]["definition"]
        assert VARIABLES[name]["allValue"] == ".+"


def test_panels_have_names_of_their_own_and_say_what_to_do() -> None:
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every) == len({panel["title"] for panel in every})
    for panel in PANELS.values():
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_panels_fill_the_rows_and_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        covered = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not covered & cells, panel["title"]
        cells |= covered
    assert cells == {(x, y) for x in range(24) for y in range(max(y for _, y in cells) + 1)}


# ---- Thresholds


def thresholds(title: str) -> dict[str, float]:
    """The value from which on a panel has a colour."""
    steps = PANELS[title]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[0]["value"] is None
    return {step["color"]: step["value"] for step in steps}


@pytest.mark.parametrize(
    ("alarm", "title"), [("GapsAlarm", "Streams with a gap"), ("SlowReadersAlarm", "Slow readers cut")]
)
def test_shares_of_streams_turn_red_where_the_alarm_goes_off(alarm: str, title: str) -> None:
    assert thresholds(title)["red"] == VALKEY[alarm]["Threshold"]
    assert thresholds("Streams with a gap, and cut")["red"] == VALKEY[alarm]["Threshold"]
    [target] = PANELS[title]["targets"]
    share = VALKEY[alarm]["Metrics"][0]["Expression"]
    least = re.search(r">= (\d+)", share)
    assert least
    assert f">= bool {least[1]}" in target["expr"]
    assert "[5m]" in target["expr"]
    assert VALKEY[alarm]["Metrics"][1]["MetricStat"]["Period"] == 5 * 60


def test_delays_turn_red_where_the_alarm_on_the_backlog_goes_off() -> None:
    for title in ("Delay, p99 of 5 minutes", "Delay from the event's time to the write"):
        assert thresholds(title)["red"] == VALKEY["BacklogAlarm"]["Threshold"]


def test_one_message_that_is_not_understood_is_red_as_one_dead_letter_is() -> None:
    assert VALKEY["DeadLettersAlarm"]["Threshold"] == 0
    # Prometheus extrapolates: one message may count as a little less than one.
    assert 0 < thresholds("Not understood in 5 minutes")["red"] < 1


def test_without_a_task_the_dashboard_is_red() -> None:
    assert thresholds("Tasks") == {"red": None, "green": VALKEY["NoTaskAlarm"]["Threshold"]}
    assert PANELS["Tasks"]["targets"][0]["expr"].endswith("or vector(0)")


def test_streams_and_cpu_have_the_lines_of_scaling() -> None:
    for title in ("Streams of the fullest task", "Open streams by task"):
        assert thresholds(title)["yellow"] == raw()["Parameters"]["StreamsPerTask"]["Default"]
        assert thresholds(title)["red"] == Settings.model_fields["max_streams"].default
    cpu = VALKEY["ScalingByCpu"]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
    assert thresholds("CPU by task, of one core")["yellow"] * 100 == cpu
