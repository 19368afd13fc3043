"""`manage.py issue_key SOURCE`: a key for a client, shown once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.choices import KeyScope, SourceKind
from marketing.errors import CannotIssueKey
from marketing.services.sources import ensure_source, issue_key


class Command(BaseCommand):
    help = "Make a key of a source and print it; only its hash is kept. The source is made if there is none yet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="the source's name, for example shop")
        parser.add_argument("--kind", choices=[SourceKind.SERVER, SourceKind.BROWSER], default=SourceKind.SERVER)
        parser.add_argument("--scope", action="append", choices=KeyScope.values, help="repeat for several")
        parser.add_argument("--rate-limit", type=int, help="requests a minute to one server process")
        parser.add_argument("--quota", type=int, help="messages and decisions a day, of all server processes together")
        parser.add_argument("--acts-for", metavar="USER", help="read, manage: whose permissions the key has")

    def handle(self, *args: Any, **options: Any) -> None:
        at = timezone.now()
        source = ensure_source(name=options["source"], kind=options["kind"], at=at)
        scopes = options["scope"] or [KeyScope.WRITE]
        try:
            _, secret = issue_key(
                source=source,
                scopes=scopes,
                at=at,
                rate_limit=options["rate_limit"],
                quota=options["quota"],
                acts_for=_user(options["acts_for"]),
            )
        except CannotIssueKey as error:
            raise CommandError(str(error)) from error
        self.stdout.write(secret)


def _user(name: str | None) -> User | None:
    if name is None:
        return None
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user {name!r}. The admin's page of users lists them.")
    return user
