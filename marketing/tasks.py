"""Tasks: ids in, one service call."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from marketing.errors import DemoIsBusy
from marketing.services.demo import job

log = logging.getLogger(__name__)


@shared_task
def remove_demo_world() -> None:
    """Take the demo world away; the command is `remove_demo`."""
    try:
        job.remove(clock=timezone.now, report=lambda *_: None)
    except DemoIsBusy:
        log.warning("the demo world is being built or removed already")
