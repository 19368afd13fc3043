"""Certificates: what an experiment's metrics and assignment would have said in the past, where there was no effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from experiments.models import Certificate

CERTIFICATE_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class MetricCertificate:
    """One metric of one arm over all seeds; shares are of the seeds in which the metric had a p-value.

    `is_sound`: no more false alarms than promised were found, chance allowed for; `None` without a p-value.
    """

    metric: str
    name: str
    unit: str
    role: str
    arm: str
    seeds_n: int
    false_positives_n: int
    rate: float | None
    rate_lower: float | None
    rate_upper: float | None
    mean: float | None
    standard_deviation: float | None
    variance_saved: float | None
    mde: float | None
    days_needed: int | None
    is_sound: bool | None
    alpha: float = 0.05


@dataclass(frozen=True, slots=True)
class CertificateReport:
    """Everything one certification found; `srm_rate` is the share of false alarms of the sample ratio at 1 %."""

    at: str
    since: str
    until: str
    triggers: tuple[str, ...]
    units_n: int
    days: int
    seeds_n: int
    alpha: float
    srm_false_alarms_n: int
    srm_rate: float | None
    srm_lower: float | None
    srm_upper: float | None
    is_balanced: bool
    planned_size: int | None
    units_per_day: float
    metrics: tuple[MetricCertificate, ...]
    left_out: tuple[str, ...]
    schema: int = CERTIFICATE_SCHEMA

    @property
    def is_sound(self) -> bool:
        """Whether nothing alarmed more often than it promises."""
        return self.is_balanced and all(one.is_sound is not False for one in self.metrics)


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """The newest certificate of an experiment."""

    report: CertificateReport
    at: datetime
    duration_ms: int


def encode_certificate(report: CertificateReport) -> dict[str, Any]:
    """The JSON form."""
    return dataclasses.asdict(report)


def decode_certificate(data: Mapping[str, Any]) -> CertificateReport:
    """The report in a stored column; ValueError for a schema that no decoder reads."""
    if data.get("schema") == 1:
        data = _second_schema(data)
    if data.get("schema") != CERTIFICATE_SCHEMA:
        message = f"no decoder for certificate schema {data.get('schema')!r}"
        raise ValueError(message)
    return CertificateReport(
        **{
            **data,
            "triggers": tuple(data["triggers"]),
            "left_out": tuple(data["left_out"]),
            "metrics": tuple(MetricCertificate(**one) for one in data["metrics"]),
        }
    )


def _second_schema(data: Mapping[str, Any]) -> dict[str, Any]:
    """The first schema judged each row by its 95 % interval, and so one sound row in forty as unsound."""
    metrics = [
        {**one, "is_sound": None if one["rate_lower"] is None else one["rate_lower"] <= one["alpha"]}
        for one in data["metrics"]
    ]
    is_balanced = data["srm_lower"] is None or data["srm_lower"] <= 0.01
    return {**data, "metrics": metrics, "is_balanced": is_balanced, "schema": CERTIFICATE_SCHEMA}


def get_certificate(*, experiment_key: str) -> StoredCertificate | None:
    """The newest certificate; `None` if there is none."""
    row = Certificate.objects.filter(experiment__key=experiment_key).order_by("-at", "-pk").first()
    if row is None:
        return None
    return StoredCertificate(report=decode_certificate(row.report), at=row.at, duration_ms=row.duration_ms)
