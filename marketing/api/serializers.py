"""What the endpoints of marketing take and show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rest_framework import serializers

from config.webapi.endpoint import Strict
from config.webapi.pages import PageQuery, ordering
from marketing.choices import (
    Cadence,
    CampaignKind,
    CampaignStatus,
    CrashPolicy,
    IdentityKind,
    KeyScope,
    ListMode,
    Purpose,
    Sensitivity,
    SourceKind,
)
from marketing.services.mapping import IDENTITY_FIELDS
from marketing.services.sources import OVERLAP

LONGEST_TEXT = 5_000
LONGEST_REASON = 500
LONGEST_OVERLAP = 24 * 90
"""Hours in which two keys are valid."""
MOST_TRAITS = 200
MOST_MEMBERS = 20_000
"""In one request: their texts fill the largest body."""


class SegmentOut(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    is_marketing = serializers.BooleanField(help_text="For direct marketing: whoever objected to it is left out.")
    is_list = serializers.BooleanField(help_text="Its members come from imports.")
    owner = serializers.CharField(source="owner.username", allow_null=True, default=None)
    rule = serializers.JSONField(source="version.rule", allow_null=True, default=None)
    version = serializers.IntegerField(source="version.number", allow_null=True, default=None)
    members_n = serializers.IntegerField(help_text="At the last refresh.")
    refreshed_at = serializers.DateTimeField(allow_null=True)
    failure = serializers.CharField()
    archived_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class SegmentQuery(PageQuery):
    ordering = ordering("-created_at", "created_at", "name", "-name", "-members_n")
    with_archived = serializers.BooleanField(default=False)


class SegmentIn(Strict):
    name = serializers.CharField(max_length=100)
    description = serializers.CharField(max_length=LONGEST_TEXT, allow_blank=True, default="")
    rule = serializers.DictField(help_text="As docs/data.md describes it.")
    is_marketing = serializers.BooleanField(
        default=False, help_text="For direct marketing: whoever objected to it is left out."
    )
    protected_reason = serializers.CharField(
        max_length=LONGEST_REASON,
        allow_blank=True,
        default="",
        help_text="A rule that reads a protected trait needs one; it is logged.",
    )


class ListIn(Strict):
    name = serializers.CharField(max_length=100)
    description = serializers.CharField(max_length=LONGEST_TEXT, allow_blank=True, default="")
    is_marketing = serializers.BooleanField(default=False)


class MembersIn(Strict):
    mode = serializers.ChoiceField(ListMode.choices, default=ListMode.ADD.value)
    identity = serializers.ChoiceField(sorted(IDENTITY_FIELDS), default="user_id", help_text="What the values are.")
    values = serializers.ListField(
        child=serializers.CharField(max_length=255),
        min_length=1,
        max_length=MOST_MEMBERS,
        help_text="Nobody is made: whoever is not known is a rejected row.",
    )


class MembersImportOut(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="pk")
    mode = serializers.CharField(source="mapping.mode")
    rows = serializers.IntegerField(source="next_row")
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class MembersImportQuery(PageQuery):
    ordering = ordering("-started_at", "started_at")


class SegmentChange(Strict):
    """What is left out stays. Another rule is a new version."""

    name = serializers.CharField(max_length=100, required=False)
    description = serializers.CharField(max_length=LONGEST_TEXT, allow_blank=True, required=False)
    rule = serializers.DictField(required=False)
    is_marketing = serializers.BooleanField(required=False)
    protected_reason = serializers.CharField(max_length=LONGEST_REASON, allow_blank=True, required=False)


class RuleIn(Strict):
    rule = serializers.DictField()


class CountOut(serializers.Serializer[Any]):
    people = serializers.IntegerField()
    everybody = serializers.IntegerField()
    percent = serializers.FloatField()
    is_sampled = serializers.BooleanField(help_text="Counted on a sample and scaled up.")


class MemberOut(serializers.Serializer[Any]):
    profile = serializers.UUIDField(source="profile.public_id")
    entered_at = serializers.DateTimeField()


class MemberQuery(PageQuery):
    ordering = ordering("profile", "-profile")


class ProfileOut(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    email = serializers.CharField()
    country = serializers.CharField()
    language = serializers.CharField()
    timezone = serializers.CharField()
    birth_year = serializers.IntegerField(allow_null=True)
    first_seen_at = serializers.IntegerField(allow_null=True, help_text="Microseconds since 1970, UTC.")
    last_seen_at = serializers.IntegerField(allow_null=True, help_text="Microseconds since 1970, UTC.")
    orders_n = serializers.IntegerField()
    revenue = serializers.IntegerField(help_text="In millionths of the reporting currency.")
    created_at = serializers.DateTimeField()


class ProfileQuery(PageQuery):
    ordering = ordering("-pk", "pk")
    identity = serializers.CharField(
        max_length=255, required=False, help_text="Exactly this user id, e-mail address, visitor or device."
    )
    identity_kind = serializers.ChoiceField(IdentityKind.choices, required=False)


class IdentityOut(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(IdentityKind.choices)
    value = serializers.CharField()


class TraitOut(serializers.Serializer[Any]):
    key = serializers.CharField()
    name = serializers.CharField()
    value = serializers.JSONField()
    sensitivity = serializers.ChoiceField(Sensitivity.choices)
    source = serializers.CharField()  # type: ignore[assignment] # declared fields leave the class
    at = serializers.DateTimeField()


class ConsentOut(serializers.Serializer[Any]):
    purpose = serializers.ChoiceField(Purpose.choices)
    granted = serializers.BooleanField()
    at = serializers.DateTimeField()


class ExposureOut(serializers.Serializer[Any]):
    experiment = serializers.CharField(source="experiment_key")
    arm = serializers.CharField(source="arm_key")
    phase = serializers.IntegerField()
    seen_at = serializers.DateTimeField()


class ProfileDetailOut(ProfileOut):
    identities = IdentityOut(many=True)
    traits = TraitOut(many=True)
    consents = ConsentOut(many=True)
    segments = serializers.ListField(child=serializers.CharField())
    exposures = ExposureOut(many=True)


class TraitsIn(Strict):
    traits = serializers.DictField(
        child=serializers.JSONField(), allow_empty=False, help_text="Declared traits only; a newer value wins."
    )

    def validate_traits(self, traits: dict[str, Any]) -> dict[str, Any]:
        """Keep one request to one person's worth."""
        if len(traits) > MOST_TRAITS:
            raise serializers.ValidationError(f"At most {MOST_TRAITS} traits at once; these are {len(traits)}.")
        return traits


class TraitsOut(serializers.Serializer[Any]):
    ignored = serializers.ListField(
        child=serializers.CharField(), help_text="Undeclared, or a value that does not fit the type."
    )
    traits = TraitOut(many=True)


class EventOut(serializers.Serializer[Any]):
    event = serializers.CharField()
    at = serializers.DateTimeField()
    item = serializers.CharField(allow_null=True)
    value = serializers.IntegerField(allow_null=True, help_text="In millionths of the reporting currency.")
    order_id = serializers.CharField()
    recommendation_id = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment] # declared fields leave the class
    props = serializers.JSONField()


class EventQuery(PageQuery):
    ordering = ordering("-at", "at")


class CampaignRowOut(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(CampaignKind.choices)
    status = serializers.ChoiceField(CampaignStatus.choices)
    segment = serializers.CharField(source="segment.slug", allow_null=True, default=None)
    experiment_key = serializers.CharField(help_text="Empty before the launch.")
    owner = serializers.CharField(source="owner.username", allow_null=True, default=None)
    created_at = serializers.DateTimeField()
    launched_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class WordsOut(serializers.Serializer[Any]):
    language = serializers.CharField()
    subject = serializers.CharField()
    headline = serializers.CharField()
    body = serializers.CharField()
    button_text = serializers.CharField()


class CampaignArmOut(serializers.Serializer[Any]):
    key = serializers.CharField()
    name = serializers.CharField()
    is_control = serializers.BooleanField()
    percent = serializers.IntegerField()
    subject = serializers.CharField()
    headline = serializers.CharField()
    body = serializers.CharField()
    button_text = serializers.CharField()
    image = serializers.CharField()
    link = serializers.CharField()
    strategy = serializers.CharField()
    item_count = serializers.IntegerField()
    translations = WordsOut(many=True)


class CampaignOut(CampaignRowOut):
    goal_metric = serializers.CharField()
    guardrail_metrics = serializers.ListField(child=serializers.CharField())
    consent_purposes = serializers.ListField(child=serializers.CharField())
    no_control_reason = serializers.CharField()
    baseline = serializers.FloatField()
    mde = serializers.FloatField()
    people_per_day = serializers.IntegerField()
    starts_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    sender = serializers.CharField(allow_null=True)
    crash_policy = serializers.ChoiceField(CrashPolicy.choices)
    window_from = serializers.IntegerField()
    window_until = serializers.IntegerField()
    per_minute = serializers.IntegerField(allow_null=True)
    weekdays = serializers.ListField(child=serializers.IntegerField(), help_text="0 is Monday.")
    expires_hours = serializers.IntegerField(allow_null=True)
    cadence = serializers.ChoiceField(Cadence.choices)
    every_days = serializers.IntegerField(allow_null=True)
    trigger_event = serializers.CharField()
    trigger_segment = serializers.CharField(allow_null=True)
    delay_minutes = serializers.IntegerField()
    cancel_event = serializers.CharField()
    again_days = serializers.IntegerField(allow_null=True)
    fixed_cost = serializers.IntegerField(help_text="In millionths of the reporting currency.")
    message_cost = serializers.IntegerField()
    margin = serializers.FloatField(allow_null=True)
    unsubscribe_ceiling = serializers.FloatField(allow_null=True)
    complaint_ceiling = serializers.FloatField(allow_null=True)
    arms = CampaignArmOut(many=True)
    transitions = serializers.ListField(child=serializers.CharField(), help_text="What is possible now.")


class CheckOut(serializers.Serializer[Any]):
    code = serializers.CharField()
    title = serializers.CharField(source="label")
    is_done = serializers.BooleanField()
    reason = serializers.CharField(help_text="What is missing and what to do; empty when it is done.")


class CampaignQuery(PageQuery):
    ordering = ordering("-created_at", "created_at", "name", "-name")
    status = serializers.ChoiceField(CampaignStatus.choices, required=False)


class SourceOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    kind = serializers.ChoiceField(SourceKind.choices)
    created_at = serializers.DateTimeField()
    archived_at = serializers.DateTimeField(allow_null=True)


class SourceQuery(PageQuery):
    ordering = ordering("name", "-name", "-created_at")


class SourceIn(Strict):
    name = serializers.RegexField(r"^[-a-zA-Z0-9_]+\Z", max_length=64)
    kind = serializers.ChoiceField([SourceKind.SERVER.value, SourceKind.BROWSER.value], default=SourceKind.SERVER.value)


class KeyOut(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="pk")
    prefix = serializers.CharField(help_text="The first characters; the key itself is kept nowhere.")
    scopes = serializers.ListField(child=serializers.CharField())
    rate_limit = serializers.IntegerField(allow_null=True)
    quota = serializers.IntegerField(allow_null=True, help_text="Messages and decisions a day (UTC).")
    acts_for = serializers.CharField(source="acts_for.username", allow_null=True, default=None)
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Of a key that was replaced.")


class KeyQuery(PageQuery):
    ordering = ordering("-created_at", "created_at")


class KeyIn(Strict):
    scopes = serializers.ListField(
        child=serializers.ChoiceField(KeyScope.choices),
        min_length=1,
        max_length=len(KeyScope.choices),
        help_text="`read` and `manage` act for whoever asks.",
    )
    rate_limit = serializers.IntegerField(min_value=1, max_value=1_000_000, allow_null=True, default=None)
    quota = serializers.IntegerField(min_value=1, max_value=10**15, allow_null=True, default=None)


class RotateIn(Strict):
    overlap_hours = serializers.IntegerField(
        min_value=0,
        max_value=LONGEST_OVERLAP,
        default=OVERLAP // timedelta(hours=1),
        help_text="For so long the old key stays valid.",
    )


class NewKeyOut(KeyOut):
    secret = serializers.CharField(help_text="The key. It is shown here and never again.")


class ChangeQuery(PageQuery):
    ordering = ordering("-pk", "pk")
    campaign = serializers.CharField(max_length=64, required=False, help_text="Only of the campaign of this slug.")
