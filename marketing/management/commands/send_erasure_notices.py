"""`manage.py send_erasure_notices`: tell the recipients of data whom we have erased."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from marketing.services.notices import send_due


class Command(BaseCommand):
    help = "Send the notices of erasures that are due; the worker does it every minute."

    def handle(self, *args: Any, **options: Any) -> None:
        sent = send_due(at=timezone.now())
        self.stdout.write(f"{sent.sent_n} sent, {sent.failed_n} failed")
