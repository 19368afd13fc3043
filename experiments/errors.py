"""What can go wrong in this app; services raise, the border translates once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something cannot be done: a code for programs, a sentence for people."""

    code: str
    text: str | Promise

    def __str__(self) -> str:
        return str(self.text)


class ExperimentsError(Exception):
    """The base of this app's errors."""


class UnknownExperiment(ExperimentsError):
    """No experiment has this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"There is no experiment {key!r}.")
        self.key = key


class InvalidDesign(ExperimentsError):
    """The design cannot be stored: it contradicts itself or what exists already."""

    def __init__(self, reasons: Sequence[Reason]) -> None:
        super().__init__(" ".join(str(reason) for reason in reasons))
        self.reasons = tuple(reasons)


class CannotTransition(ExperimentsError):
    """The experiment is in another state, or a guard has reasons against the transition."""

    def __init__(self, transition: str, reasons: Sequence[Reason]) -> None:
        super().__init__(" ".join(str(reason) for reason in reasons))
        self.transition = transition
        self.reasons = tuple(reasons)


class CannotImport(ExperimentsError):
    """A file cannot become an experiment; the message names line and column where there is one."""


class CannotUseMetric(ExperimentsError):
    """There is no such draft, or the metric may not be changed so."""


class CannotRead(ExperimentsError):
    """A server, or an experiment in it, has no answer for a notebook; the message says why and what to do."""


class CannotExport(ExperimentsError):
    """Results cannot be written as a file now."""


class GateClosed(ExperimentsError):
    """The key may not ask for this: it is unknown, revoked, or lacks the scope."""


class TooManyRequests(ExperimentsError):
    """The key has used up what it may ask for now, or what it reports cannot be taken in now."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Ask again in {seconds} seconds.")
        self.seconds = seconds
