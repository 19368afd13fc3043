from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from marketing.choices import Sensitivity, TraitConflict, TraitOrigin, TraitType
from marketing.querysets.profiles import ProfileQuerySet

SAMPLE_BUCKETS = 1_000


class Profile(models.Model):
    """A person as we know them.

    The integer key is for joins and never leaves the house; `public_id` does.
    The loser of a merge stays as a row that points to its winner.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    email = models.EmailField(blank=True)
    country = models.CharField(max_length=2, blank=True, help_text=_("ISO 3166-1"))
    language = models.CharField(max_length=12, blank=True, help_text=_("BCP 47"))
    timezone = models.CharField(max_length=64, blank=True)
    birth_year = models.SmallIntegerField(null=True, blank=True)
    first_seen_at = models.BigIntegerField(null=True, blank=True, help_text=_("Microseconds since 1970, UTC."))
    last_seen_at = models.BigIntegerField(null=True, blank=True, help_text=_("Microseconds since 1970, UTC."))
    orders_n = models.IntegerField(default=0)
    revenue = models.BigIntegerField(default=0, help_text=_("Millionths of the reporting currency."))
    traits_at = models.BigIntegerField(
        null=True, blank=True, help_text=_("When the newest of the traits above was observed; newer wins.")
    )
    marketing_ok = models.BooleanField(
        default=False,
        help_text=_("Copy of the current consent to marketing e-mail; no for somebody who objects."),
    )
    is_objector = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("Copy of the current objection to direct marketing (Art. 21(2) GDPR)."),
    )
    sample_bucket = models.SmallIntegerField(help_text=_("Salted position for previews and samples, 0 to 999."))
    merged_into = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="losers")
    is_demo = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    objects = ProfileQuerySet.as_manager()

    class Meta:
        verbose_name = _("profile")
        verbose_name_plural = _("profiles")
        indexes = [
            models.Index(fields=["email"], name="marketing_profile_email"),
            # last_seen_at has none on purpose: an index on a column that every event moves costs more than its scans.
            models.Index(fields=["country", "birth_year"], name="marketing_profile_country"),
            models.Index(fields=["sample_bucket"], name="marketing_profile_sample"),
            # Objectors are few: whoever leaves them out reads these, never all people.
            models.Index(fields=["id"], name="marketing_profile_objector", condition=models.Q(is_objector=True)),
        ]
        constraints = [
            models.CheckConstraint(
                name="marketing_profile_sample_range",
                condition=models.Q(sample_bucket__gte=0, sample_bucket__lt=SAMPLE_BUCKETS),
            ),
            models.CheckConstraint(
                name="marketing_profile_not_into_itself",
                condition=~models.Q(merged_into=models.F("id")),
            ),
        ]

    def __str__(self) -> str:
        return str(self.public_id)


class TraitDefinition(models.Model):
    """A trait that the installation declared; undeclared traits are not kept. A computed one has a recipe."""

    key = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=100)
    type = models.CharField(max_length=10, choices=TraitType)
    sensitivity = models.CharField(max_length=10, choices=Sensitivity, default=Sensitivity.NORMAL)
    allowed_values = models.JSONField(
        default=list,
        blank=True,
        help_text=_("A list of texts; empty: every text is allowed."),
    )
    description = models.CharField(max_length=300, blank=True)
    origin = models.CharField(max_length=10, choices=TraitOrigin, default=TraitOrigin.DECLARED)
    conflict = models.CharField(
        max_length=10,
        choices=TraitConflict,
        default=TraitConflict.NEWEST,
        help_text=_("Which statement stays where sources disagree; it holds from now on, what is kept stays."),
    )
    recipe = models.JSONField(
        default=dict, blank=True, help_text=_("How a computed trait is made (schema 1, docs/profiles.md).")
    )
    is_active = models.BooleanField(default=True, help_text=_("A computed trait that is switched off has no values."))
    refreshed_at = models.DateTimeField(
        null=True, blank=True, help_text=_("As of when the values were computed last; empty: never with this recipe.")
    )
    filled_n = models.BigIntegerField(null=True, blank=True, help_text=_("People with a value at the last count."))
    is_demo = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("trait")
        verbose_name_plural = _("traits")
        constraints = [
            models.CheckConstraint(name="marketing_trait_origin", condition=models.Q(origin__in=TraitOrigin.values)),
            models.CheckConstraint(
                name="marketing_trait_conflict", condition=models.Q(conflict__in=TraitConflict.values)
            ),
            models.CheckConstraint(
                # What somebody is, or believes, is stated; it is never inferred from what they do.
                name="marketing_trait_not_inferred",
                condition=~models.Q(origin=TraitOrigin.COMPUTED, sensitivity=Sensitivity.PROTECTED),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ProfileTrait(models.Model):
    """One value. Numbers, yes/no (1/0) and dates (days since 1970) are numbers."""

    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="traits", db_index=False)
    # Neither is ever deleted while values name it (PROTECT), and what inserts has just read their ids.
    definition = models.ForeignKey(TraitDefinition, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    number = models.FloatField(null=True, blank=True)
    text = models.CharField(max_length=255, null=True, blank=True)
    at = models.BigIntegerField(help_text=_("When the value was observed."))
    source = models.ForeignKey(
        "marketing.Source",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )

    class Meta:
        verbose_name = _("trait value")
        verbose_name_plural = _("trait values")
        constraints = [
            models.UniqueConstraint(fields=["profile", "definition"], name="marketing_trait_once"),
            models.CheckConstraint(
                name="marketing_trait_one_value",
                condition=models.Q(number__isnull=True, text__isnull=False)
                | models.Q(number__isnull=False, text__isnull=True),
            ),
        ]
        # Each value is in one of them only: half the room, and half the work of storing it.
        indexes = [
            models.Index(
                fields=["definition", "number", "profile"],
                name="marketing_trait_number",
                condition=models.Q(number__isnull=False),
            ),
            models.Index(
                fields=["definition", "text", "profile"],
                name="marketing_trait_text",
                condition=models.Q(text__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.definition_id}={self.text if self.number is None else self.number}"
