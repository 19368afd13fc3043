"""What the operators look at: the clockwork's pulse and the progress of long jobs."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Heartbeat(models.Model):
    """When a part of the clockwork was last alive: one row per part, moved on by the scheduled task."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    at = models.DateTimeField(_("last alive"))

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")

    def __str__(self) -> str:
        return self.name


class Job(models.Model):
    """A long job of which only one runs at a time, with its progress for pages."""

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        WAITING = "waiting", _("waiting for its next part")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    name = models.CharField(_("name"), max_length=40, unique=True)
    state = models.CharField(_("state"), max_length=10, choices=State)
    step = models.CharField(_("step"), max_length=200, blank=True)
    done = models.PositiveIntegerField(_("done"), default=0)
    total = models.PositiveIntegerField(_("total"), default=0)
    error = models.TextField(_("error"), blank=True)
    started_at = models.DateTimeField(_("started at"))
    updated_at = models.DateTimeField(_("updated at"))

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        constraints = [
            models.CheckConstraint(condition=models.Q(done__lte=models.F("total")), name="job_done_within_total"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_under_way(self) -> bool:
        """Return whether the job has begun and nothing has ended it."""
        return self.state in (self.State.RUNNING, self.State.WAITING)

    @property
    def percent(self) -> int:
        """Return the share done, in per cent."""
        return 100 * self.done // self.total if self.total else 0
