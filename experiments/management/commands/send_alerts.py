"""`manage.py send_alerts [--digest]`: send what waits in the outbox of alerts, now and here."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from experiments.services import alert_delivery, digest


class Command(BaseCommand):
    help = "Send the alerts and invitations that wait; with --digest the digest of the week as well."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--digest", action="store_true", help="send the weekly digest to whoever has not got it")

    def handle(self, *args: Any, **options: Any) -> None:
        at = timezone.now()
        sending = alert_delivery.send_due(at=at)
        invited = digest.send_invitations(at=at)
        self.stdout.write(f"alerts sent: {sending.sent_n}, failed: {sending.failed_n}; invitations sent: {invited}")
        if options["digest"]:
            self.stdout.write(f"digests sent: {digest.send_digests(at=at)}")
