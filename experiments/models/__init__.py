"""The record of experiments: what was planned, who saw what, what was computed and decided."""

from __future__ import annotations

from experiments.models.alert import Alert, AlertDelivery, DigestSubscription, Recipient
from experiments.models.certificate import Certificate
from experiments.models.changelog import ChangeLog
from experiments.models.decision import Decision
from experiments.models.experiment import Arm, Experiment, Phase, PhaseArm
from experiments.models.exposure import Exposure
from experiments.models.frozen import FrozenUnit
from experiments.models.holdout import Holdout
from experiments.models.layer import Layer
from experiments.models.ledger import LedgerQuarter
from experiments.models.metric import ExperimentMetric, Metric
from experiments.models.prerequisite import Prerequisite
from experiments.models.ramp import RampStep
from experiments.models.snapshot import Look, Refresh, Snapshot
from experiments.models.state import DirtyUnit, FactsState, StaleUnit
from experiments.models.survey import MetricSurvey

__all__ = [
    "Alert",
    "AlertDelivery",
    "Arm",
    "Certificate",
    "ChangeLog",
    "Decision",
    "DigestSubscription",
    "DirtyUnit",
    "Experiment",
    "ExperimentMetric",
    "Exposure",
    "FactsState",
    "FrozenUnit",
    "Holdout",
    "Layer",
    "LedgerQuarter",
    "Look",
    "Metric",
    "MetricSurvey",
    "Phase",
    "PhaseArm",
    "Prerequisite",
    "RampStep",
    "Recipient",
    "Refresh",
    "Snapshot",
    "StaleUnit",
]
