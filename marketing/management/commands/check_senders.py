"""`manage.py check_senders`: look up SPF, DKIM and DMARC of every sender's domain, as the schedule does once a day."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from marketing.models import Sender
from marketing.services.domain_words import say_findings
from marketing.services.sending.domains import check_senders


class Command(BaseCommand):
    help = "Ask the DNS whether mailboxes will trust the senders' domains: SPF, DKIM, DMARC."

    def handle(self, *args: Any, **options: Any) -> None:
        checked, unanswered = check_senders(at=timezone.now())
        for sender in Sender.objects.order_by("pk"):
            said = say_findings(findings=sender.domain_findings)
            self.stdout.write(f"{sender.email}: {' '.join(said) or 'nothing to mend'}")
        if unanswered:
            raise CommandError(f"The DNS did not answer about {unanswered} of {checked + unanswered} senders.")
