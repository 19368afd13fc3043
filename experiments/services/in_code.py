"""Where a Django shop registers its metrics in code (docs/metrics.md)."""

from __future__ import annotations

from experiments.facts.in_code import BadSource, metric_source

__all__ = ["BadSource", "metric_source"]
