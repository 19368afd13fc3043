"""The admin of experiments: everything can be looked at, states change through services only."""

from __future__ import annotations

from experiments.admin import experiments, facts, results

__all__ = ["experiments", "facts", "results"]
