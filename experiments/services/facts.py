"""Which facts an experiment reads; other apps subclass `DatabaseFacts` from here."""

from __future__ import annotations

from django.conf import settings
from django.utils.module_loading import import_string

from experiments.facts.database import UNITS_TABLE, DatabaseFacts, column_array
from experiments.facts.in_code import with_sources
from experiments.models import Experiment, Exposure
from experiments.ports import Facts

__all__ = ["EXPOSURE_TABLE", "UNITS_TABLE", "DatabaseFacts", "column_array", "load_facts", "with_sources"]

EXPOSURE_TABLE = Exposure._meta.db_table


def load_facts(*, experiment: Experiment) -> Facts:
    """The source that the experiment names, or the installation's own."""
    facts: Facts = import_string(experiment.facts or settings.EXPERIMENTS_FACTS)(reference=experiment.facts_reference)
    return facts


def watermark_of(facts: Facts) -> dict[str, int]:
    """How far events and merges had come when a run began; sources that cannot tell say nothing."""
    read = getattr(facts, "watermark", None)
    return {} if read is None else dict(read())
