"""What the endpoints of experiments have in common."""

from __future__ import annotations

from typing import ClassVar, Final

from config.webapi.endpoint import Endpoint
from config.webapi.errors import CONFLICT, NOT_FOUND, REFUSED, UNAVAILABLE
from config.webapi.problems import Border
from experiments.errors import CannotExport, CannotTransition, CannotUseMetric, InvalidDesign, UnknownExperiment

VIEW: Final = "experiments.view_experiment"
ADD: Final = "experiments.add_experiment"
CHANGE: Final = "experiments.change_experiment"
LAUNCH: Final = "experiments.launch_experiment"
DECIDE: Final = "experiments.decide_experiment"


class ExperimentsEndpoint(Endpoint):
    """An endpoint whose services raise this app's errors."""

    problems: ClassVar[Border] = {
        UnknownExperiment: NOT_FOUND,
        InvalidDesign: REFUSED,
        CannotTransition: CONFLICT,
        CannotUseMetric: REFUSED,
        CannotExport: UNAVAILABLE,
    }
