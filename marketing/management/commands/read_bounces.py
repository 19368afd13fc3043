"""`manage.py read_bounces`: read the mailbox that bounces and complaints come back to, as the schedule does."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.channels.mailbox import check_mailbox
from marketing.errors import CannotReadMailbox
from marketing.services.sending.mailboxes import AT_ONCE, read_bounces


class Command(BaseCommand):
    help = "Read bounces and complaints, and suppress the addresses that no message should go to any more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "place",
            nargs="?",
            default="",
            help="a folder of .eml files, or imaps://user:password@host/INBOX; default: HOLDOUT_BOUNCE_MAILBOX",
        )
        parser.add_argument("--limit", type=int, default=AT_ONCE, help=f"messages at most (default {AT_ONCE})")

    def handle(self, *args: Any, **options: Any) -> None:
        place = options["place"] or settings.BOUNCE_MAILBOX
        if not place:
            raise CommandError("Name a mailbox, or set HOLDOUT_BOUNCE_MAILBOX.")
        try:
            check_mailbox(place)
            found = read_bounces(place=place, clock=timezone.now, limit=options["limit"])
        except (CannotReadMailbox, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{found.messages:,} messages: {found.reports:,} new reports, {found.others:,} others, "
            f"{found.unreadable:,} unreadable."
        )
