from __future__ import annotations

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from marketing.choices import ImportKind, SourceKind


class Source(models.Model):
    """Where events come from. It owns write keys; rotating one changes nothing."""

    name = models.SlugField(max_length=64, unique=True)
    kind = models.CharField(max_length=10, choices=SourceKind)
    rank = models.PositiveSmallIntegerField(
        default=0, help_text=_("Of traits that follow ranks the statement of the higher one stays.")
    )
    created_at = models.DateTimeField()
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("source")
        verbose_name_plural = _("sources")

    def __str__(self) -> str:
        return self.name


class WriteKey(models.Model):
    """A secret of a source; only its hash is kept, the prefix is for people."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="keys")
    prefix = models.CharField(max_length=12)
    sha256 = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    rate_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text=_("Requests a minute to one server process; empty: no limit.")
    )
    quota = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text=_("Messages and decisions a day (UTC), of all server processes together; empty: no limit."),
    )
    acts_for = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text=_("Whose permissions a key of the management API has."),
    )
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text=_("A key that was replaced is valid until then, so that clients can change.")
    )
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("write key")
        verbose_name_plural = _("write keys")

    def __str__(self) -> str:
        return f"{self.prefix}…"


class KeyUsage(models.Model):
    """How much was sent and asked with a key on a day (UTC); every server process adds to it every few seconds."""

    key = models.ForeignKey(WriteKey, on_delete=models.CASCADE, related_name="usage")
    day = models.DateField()
    n = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("use of a key")
        verbose_name_plural = _("use of keys")
        constraints = [
            models.UniqueConstraint(fields=["key", "day"], name="marketing_keyusage_once"),
        ]

    def __str__(self) -> str:
        return f"{self.key_id} {self.day}: {self.n}"


class EventType(models.Model):
    """An event's name, interned: an integer in millions of rows."""

    name = models.CharField(max_length=100, unique=True)

    class Meta:
        verbose_name = _("event type")
        verbose_name_plural = _("event types")

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """One fact about a profile. Append-only: a trigger lets only `profile` change."""

    # Sources and types are never deleted while events name them (PROTECT), and what inserts has just read their ids:
    # for PostgreSQL to look both up for each row took a third of the whole insertion.
    source = models.ForeignKey(Source, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    message_id = models.CharField(max_length=200)
    # No constraint in the database: without an index on it, each erased identity would read all events. Identities are
    # deleted by the privacy services only, after their events.
    identity = models.ForeignKey("marketing.Identity", on_delete=models.PROTECT, db_index=False, db_constraint=False)
    profile = models.ForeignKey("marketing.Profile", on_delete=models.PROTECT, db_index=False)
    type = models.ForeignKey(EventType, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    at = models.BigIntegerField(help_text=_("Microseconds since 1970, UTC."))
    item = models.CharField(max_length=255, null=True, blank=True)
    value = models.BigIntegerField(null=True, blank=True, help_text=_("Millionths of the reporting currency."))
    currency = models.CharField(max_length=3, blank=True, help_text=_("The currency it was sent in."))
    order_id = models.CharField(max_length=100, blank=True)
    recommendation_id = models.CharField(max_length=36, blank=True)
    props = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [
            models.UniqueConstraint(fields=["source", "message_id"], name="marketing_event_once"),
        ]
        # Exactly these two: each costs 8 % of the ingestion rate.
        indexes = [
            models.Index(fields=["type", "at", "profile"], name="marketing_event_type_at"),
            models.Index(fields=["profile", "type", "at"], name="marketing_event_profile"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id}:{self.message_id}"


class Activity(models.Model):
    """How often, since when and for how much a profile did one thing, lifetime."""

    profile = models.ForeignKey("marketing.Profile", on_delete=models.CASCADE, related_name="activities")
    type = models.ForeignKey(EventType, on_delete=models.PROTECT, db_index=False)
    n = models.IntegerField()
    first_at = models.BigIntegerField()
    last_at = models.BigIntegerField()
    total = models.BigIntegerField(default=0, help_text=_("Millionths of the reporting currency."))

    class Meta:
        verbose_name = _("activity")
        verbose_name_plural = _("activities")
        constraints = [
            models.UniqueConstraint(fields=["type", "profile"], name="marketing_activity_once"),
        ]

    def __str__(self) -> str:
        return f"{self.profile_id}/{self.type_id}: {self.n}"


class DeadLetter(models.Model):
    """A message that could not be stored, with the reason; it can be replayed."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, null=True, blank=True)
    payload = models.TextField()
    reason = models.CharField(max_length=200)
    at = models.DateTimeField(db_index=True)
    replayed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("dead letter")
        verbose_name_plural = _("dead letters")

    def __str__(self) -> str:
        return self.reason


class ExchangeRate(models.Model):
    """What one unit of a currency was worth in the reporting currency on a day."""

    currency = models.CharField(max_length=3)
    day = models.DateField()
    rate = models.DecimalField(max_digits=20, decimal_places=10)

    class Meta:
        verbose_name = _("exchange rate")
        verbose_name_plural = _("exchange rates")
        constraints = [
            models.UniqueConstraint(fields=["currency", "day"], name="marketing_rate_once"),
            models.CheckConstraint(name="marketing_rate_positive", condition=models.Q(rate__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.day}"


class ImportRun(models.Model):
    """How far the import of one file came: `next_row` moves with its rows."""

    kind = models.CharField(max_length=10, choices=ImportKind)
    source = models.ForeignKey(Source, on_delete=models.PROTECT)
    file_name = models.CharField(max_length=255)
    file_sha256 = models.CharField(max_length=64)
    mapping = models.JSONField(default=dict)
    mapping_sha256 = models.CharField(max_length=64)
    next_row = models.BigIntegerField(default=0)
    accepted = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    rejected_bytes = models.BigIntegerField(
        default=0, help_text=_("How much of the file of rejected rows belongs to the rows before the next one.")
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "source", "file_sha256", "mapping_sha256"],
                name="marketing_import_once",
            ),
        ]

    def __str__(self) -> str:
        return self.file_name
