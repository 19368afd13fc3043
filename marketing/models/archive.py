"""Events that were moved out of the database: which files hold them, and which messages they were."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ArchivedPart(models.Model):
    """One file of the archive: events of one day (UTC). A file that no row names does not count."""

    day = models.DateField(db_index=True)
    path = models.CharField(max_length=200, unique=True, help_text=_("Below the archive's folder."))
    rows_n = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    archived_at = models.DateTimeField()

    class Meta:
        verbose_name = _("archived part")
        verbose_name_plural = _("archived parts")

    def __str__(self) -> str:
        return self.path


class ArchivedMessage(models.Model):
    """The ledger of archived messages: one of them that is sent again is a duplicate still."""

    part = models.ForeignKey(ArchivedPart, on_delete=models.CASCADE, related_name="messages")
    event_id = models.BigIntegerField()
    source = models.ForeignKey("marketing.Source", on_delete=models.CASCADE, db_index=False)
    message_id = models.CharField(max_length=200)

    class Meta:
        verbose_name = _("archived message")
        verbose_name_plural = _("archived messages")
        constraints = [
            models.UniqueConstraint(fields=["source", "message_id"], name="marketing_archived_once"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id}:{self.message_id}"


class ArchivedActivity(models.Model):
    """What an identity did in one part, so that a profile's whole past can still be counted."""

    part = models.ForeignKey(ArchivedPart, on_delete=models.CASCADE, related_name="activities")
    # As with events: identities are deleted by the privacy services only, after what they did.
    identity = models.ForeignKey("marketing.Identity", on_delete=models.CASCADE, related_name="+", db_constraint=False)
    type = models.ForeignKey("marketing.EventType", on_delete=models.PROTECT, db_index=False)
    n = models.BigIntegerField()
    first_at = models.BigIntegerField()
    last_at = models.BigIntegerField()
    total = models.BigIntegerField()

    class Meta:
        verbose_name = _("archived activity")
        verbose_name_plural = _("archived activities")

    def __str__(self) -> str:
        return f"{self.identity_id}/{self.type_id}: {self.n}"
