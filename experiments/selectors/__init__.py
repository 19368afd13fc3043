"""Reads. Other apps import from here."""

from __future__ import annotations

from experiments.selectors.clients import left_out_reason, segments_in_rules, unit_types
from experiments.selectors.collisions import Collision, Planned, list_collisions, list_planned_collisions
from experiments.selectors.config import HoldoutConfig, clear_config_cache, get_config, list_configs, list_holdouts
from experiments.selectors.experiments import (
    Change,
    ExperimentRow,
    UnitExposure,
    count_experiments,
    days_running,
    exposed_counts,
    get_status,
    list_changes,
    list_experiments,
    list_unit_exposures,
)
from experiments.selectors.exposed import ExposedUnits, each_exposed, list_exposed
from experiments.selectors.facts import facts_since, open_facts_since
from experiments.selectors.results import (
    MetricChoice,
    StoredResults,
    get_report,
    get_reports,
    get_results,
    list_metrics,
)

__all__ = [
    "Change",
    "Collision",
    "ExperimentRow",
    "ExposedUnits",
    "HoldoutConfig",
    "MetricChoice",
    "Planned",
    "StoredResults",
    "UnitExposure",
    "clear_config_cache",
    "count_experiments",
    "days_running",
    "each_exposed",
    "exposed_counts",
    "facts_since",
    "get_config",
    "get_report",
    "get_reports",
    "get_results",
    "get_status",
    "left_out_reason",
    "list_changes",
    "list_collisions",
    "list_configs",
    "list_experiments",
    "list_exposed",
    "list_holdouts",
    "list_metrics",
    "list_planned_collisions",
    "list_unit_exposures",
    "open_facts_since",
    "segments_in_rules",
    "unit_types",
]
