from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from marketing.choices import IdentityKind, MergeReason


class Identity(models.Model):
    """One way to recognise a person. Facts carry the identity, for ever."""

    kind = models.CharField(max_length=10, choices=IdentityKind)
    value = models.CharField(max_length=255)
    profile = models.ForeignKey("marketing.Profile", on_delete=models.PROTECT, related_name="identities")
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("identity")
        verbose_name_plural = _("identities")
        constraints = [
            models.UniqueConstraint(fields=["kind", "value"], name="marketing_identity_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


class Merge(models.Model):
    """The ledger of joins; `moved` holds what an undo needs (schema 1)."""

    winner = models.ForeignKey("marketing.Profile", on_delete=models.CASCADE, related_name="merges_won")
    loser = models.ForeignKey("marketing.Profile", on_delete=models.CASCADE, related_name="merges_lost")
    reason = models.CharField(max_length=10, choices=MergeReason)
    at = models.DateTimeField()
    moved = models.JSONField(default=dict)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("merge")
        verbose_name_plural = _("merges")
        constraints = [
            models.CheckConstraint(
                name="marketing_merge_two_profiles",
                condition=~models.Q(winner=models.F("loser")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.loser_id} → {self.winner_id}"


class ProfileAlias(models.Model):
    """Whom a merged profile's facts count for now, and since when."""

    loser = models.OneToOneField("marketing.Profile", on_delete=models.CASCADE, related_name="alias")
    winner = models.ForeignKey("marketing.Profile", on_delete=models.CASCADE, related_name="aliases")
    from_at = models.DateTimeField()

    class Meta:
        verbose_name = _("alias")
        verbose_name_plural = _("aliases")

    def __str__(self) -> str:
        return f"{self.loser_id} → {self.winner_id}"
