"""Names that the demo world's makers and its remover share."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from django.utils.translation import gettext_noop

SOURCE: Final = "demo-shop"
UNIT_TYPE: Final = "profile"
SEED_JOB: Final = "demo"
REMOVAL_JOB: Final = "demo-removal"


class Step(StrEnum):
    """What is being done, as the job keeps it; pages translate it."""

    CLEAR = gettext_noop("Clearing the stage")
    STOCK = gettext_noop("Stocking the shelves")
    PEOPLE = gettext_noop("Meeting the people")
    VISITS = gettext_noop("Opening the shop: 90 days of visits")
    SEGMENTS = gettext_noop("Finding the segments")
    CAMPAIGNS = gettext_noop("Running the campaigns")
    SLATES = gettext_noop("Showing people their recommendations")
    RESULTS = gettext_noop("Reading the results")
    TRAINING = gettext_noop("Training the recommenders")
    REMOVAL = gettext_noop("Removing the demo world")
