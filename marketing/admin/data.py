"""People, events, consent and segments in the admin."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from marketing import tasks
from marketing.admin.base import ModelAdmin, RecordAdmin, RecordInline
from marketing.choices import TraitOrigin
from marketing.errors import CannotEditSegment, CannotMerge
from marketing.models import (
    Activity,
    ChangedProfile,
    ChangeLog,
    Consent,
    Event,
    EventType,
    ExchangeRate,
    Heartbeat,
    Identity,
    ImportRun,
    ItemLabel,
    Job,
    Membership,
    MembershipEvent,
    Merge,
    Profile,
    ProfileAlias,
    ProfileNews,
    ProfileTrait,
    Segment,
    SegmentVersion,
    TraitDefinition,
    TraitRun,
)
from marketing.segmentation.clock import from_micros
from marketing.selectors.profiles import find_by_identity
from marketing.services.identity import split_identity, undo_merge
from marketing.services.segments import archive_segment


class PersonSearch(RecordAdmin):
    """Search by exactly one identity; parts of an address are not searched."""

    search_help_text = _("Exactly a user id, an e-mail address or another identity.")
    person_field = "profile"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Look the identity up by its index instead of searching the rows."""
        if not search_term:
            return queryset, False
        people = [profile.pk for profile in find_by_identity(value=search_term)]
        return queryset.filter(**{f"{self.person_field}__in": people}), False


class IdentityInline(RecordInline):
    model = Identity
    fields = ("kind", "value", "created_at")


class TraitInline(RecordInline):
    model = ProfileTrait
    fields = ("definition", "number", "text", "source")


class ConsentInline(RecordInline):
    model = Consent
    fields = ("purpose", "granted", "lawful_basis", "text_version", "source")


class ActivityInline(RecordInline):
    model = Activity
    fields = ("type", "n", "total")


@admin.register(Profile)
class ProfileAdmin(PersonSearch):
    list_display = ("public_id", "email", "country", "orders_n", "marketing_ok", "is_demo", "created_at")
    search_fields = ("identities__value",)
    person_field = "pk"
    raw_id_fields = ("merged_into",)
    inlines = (IdentityInline, TraitInline, ActivityInline, ConsentInline)


@admin.register(Identity)
class IdentityAdmin(PersonSearch):
    list_display = ("kind", "value", "profile", "created_at")
    list_select_related = ("profile",)
    search_fields = ("value",)
    actions = ("split",)

    def has_split_permission(self, request: HttpRequest) -> bool:
        """Whoever may change people may take them apart."""
        return request.user.has_perm("marketing.change_profile")

    @admin.action(description=_("Give it a profile of its own (a shared device)"), permissions=["split"])
    def split(self, request: HttpRequest, queryset: QuerySet[Identity]) -> None:
        """Split identities off, with their events."""
        for identity in queryset.order_by("pk"):
            try:
                split_identity(identity_id=identity.pk, at=timezone.now())
            except CannotMerge as error:
                self.message_user(request, str(error), messages.ERROR)


@admin.register(Merge)
class MergeAdmin(RecordAdmin):
    list_display = ("winner", "loser", "reason", "at", "undone_at")
    list_select_related = ("winner", "loser")
    actions = ("undo",)

    def has_undo_permission(self, request: HttpRequest) -> bool:
        """Whoever may change people may take them apart again."""
        return request.user.has_perm("marketing.change_profile")

    @admin.action(description=_("Take the people apart again"), permissions=["undo"])
    def undo(self, request: HttpRequest, queryset: QuerySet[Merge]) -> None:
        """Undo joins, the newest first."""
        for row in queryset.order_by("-at", "-pk"):
            try:
                undo_merge(merge_id=row.pk, at=timezone.now())
            except CannotMerge as error:
                self.message_user(request, f"{row}: {error}", messages.ERROR)


@admin.register(ProfileAlias)
class ProfileAliasAdmin(RecordAdmin):
    list_display = ("loser", "winner", "from_at")
    list_select_related = ("loser", "winner")


@admin.register(TraitDefinition)
class TraitDefinitionAdmin(ModelAdmin):
    list_display = ("key", "name", "type", "sensitivity", "conflict", "origin", "is_active", "refreshed_at")
    list_filter = ("origin", "sensitivity")
    search_fields = ("key", "name")
    ordering = ("key",)
    # Recipes are checked by the services behind the page of traits.
    made_by_services = ("origin", "recipe", "is_active", "refreshed_at", "filled_n", "is_demo")

    def get_readonly_fields(self, request: HttpRequest, obj: TraitDefinition | None = None) -> tuple[str, ...]:
        """Stored values have the type of the definition: key and type stay as they were declared."""
        if obj is None:
            return self.made_by_services
        given = ("allowed_values", "sensitivity") if obj.origin == TraitOrigin.COMPUTED else ()
        return ("key", "type", *given, *self.made_by_services)


@admin.register(ProfileTrait)
class ProfileTraitAdmin(PersonSearch):
    list_display = ("profile", "definition", "number", "text", "source")
    list_select_related = ("profile", "definition", "source")
    search_fields = ("profile__identities__value",)


@admin.register(TraitRun)
class TraitRunAdmin(RecordAdmin):
    list_display = ("at", "kind", "people_n", "changed_n", "finished_at")
    list_filter = ("kind",)


@admin.register(ProfileNews)
class ProfileNewsAdmin(PersonSearch):
    list_display = ("profile", "is_claimed")
    list_select_related = ("profile",)
    search_fields = ("profile__identities__value",)


@admin.register(ItemLabel)
class ItemLabelAdmin(RecordAdmin):
    list_display = ("item_id", "category", "brand")
    search_fields = ("item_id__startswith",)


@admin.register(EventType)
class EventTypeAdmin(RecordAdmin):
    list_display = ("name",)
    search_fields = ("name__istartswith",)


@admin.register(Event)
class EventAdmin(PersonSearch):
    list_display = ("pk", "moment", "type", "profile", "item", "value", "source")
    list_select_related = ("type", "profile", "source")
    search_fields = ("profile__identities__value",)

    @admin.display(description=_("at"))
    def moment(self, event: Event) -> datetime:
        """Return the moment as people read it."""
        return from_micros(event.at)


@admin.register(Activity)
class ActivityAdmin(PersonSearch):
    list_display = ("profile", "type", "n", "total")
    list_select_related = ("profile", "type")
    search_fields = ("profile__identities__value",)


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ModelAdmin):
    list_display = ("currency", "day", "rate")
    list_filter = ("currency",)
    ordering = ("-day", "currency")
    show_full_result_count = False


@admin.register(ImportRun)
class ImportRunAdmin(RecordAdmin):
    list_display = ("file_name", "kind", "next_row", "accepted", "duplicates", "rejected", "started_at", "finished_at")


@admin.register(Consent)
class ConsentAdmin(PersonSearch):
    list_display = ("profile", "purpose", "granted", "lawful_basis", "text_version", "source", "moment")
    list_select_related = ("profile",)
    search_fields = ("profile__identities__value",)

    @admin.display(description=_("at"))
    def moment(self, consent: Consent) -> datetime:
        """Return the moment as people read it."""
        return from_micros(consent.at)


class VersionInline(RecordInline):
    model = SegmentVersion
    fk_name = "segment"
    fields = ("number", "rule", "created_at", "created_by")
    ordering = ("-number",)


@admin.register(Segment)
class SegmentAdmin(RecordAdmin):
    list_display = ("name", "slug", "members_n", "refreshed_at", "failed_at", "archived_at", "is_demo")
    search_fields = ("name__istartswith", "slug__startswith")
    inlines = (VersionInline,)
    actions = ("refresh", "archive")

    def has_edit_permission(self, request: HttpRequest) -> bool:
        """Whoever may change segments on the pages may do it here."""
        return request.user.has_perm("marketing.change_segment")

    @admin.action(description=_("Refresh the members"), permissions=["edit"])
    def refresh(self, request: HttpRequest, queryset: QuerySet[Segment]) -> None:
        """Ask the worker to refresh the segments."""
        ids = list(queryset.filter(archived_at=None).values_list("pk", flat=True))
        for pk in ids:
            transaction.on_commit(partial(tasks.refresh_segment.delay, pk))
        text = ngettext("%(n)s segment is being refreshed.", "%(n)s segments are being refreshed.", len(ids))
        self.message_user(request, text % {"n": len(ids)})

    @admin.action(description=_("Archive"), permissions=["edit"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Segment]) -> None:
        """Take segments out of use; one that others refer to stays."""
        assert isinstance(request.user, User)  # the admin lets in nobody else
        for segment in queryset.order_by("-pk"):
            try:
                archive_segment(segment_id=segment.pk, at=timezone.now(), actor=request.user)
            except CannotEditSegment as error:
                self.message_user(request, str(error), messages.ERROR)


@admin.register(Membership)
class MembershipAdmin(PersonSearch):
    list_display = ("segment", "profile", "entered_at")
    list_select_related = ("segment", "profile")
    list_filter = ("segment",)
    search_fields = ("profile__identities__value",)


@admin.register(MembershipEvent)
class MembershipEventAdmin(PersonSearch):
    list_display = ("segment", "profile", "change", "cause", "at")
    list_select_related = ("segment", "profile")
    list_filter = ("segment", "change", "cause")
    search_fields = ("profile__identities__value",)


@admin.register(ChangedProfile)
class ChangedProfileAdmin(PersonSearch):
    list_display = ("profile", "cause", "claim")
    list_select_related = ("profile",)


@admin.register(ChangeLog)
class ChangeLogAdmin(RecordAdmin):
    list_display = ("at", "object_type", "object_id", "transition", "actor", "message")
    list_select_related = ("actor",)
    list_filter = ("object_type", "transition")


@admin.register(Heartbeat)
class HeartbeatAdmin(RecordAdmin):
    list_display = ("name", "at")


@admin.register(Job)
class JobAdmin(RecordAdmin):
    list_display = ("name", "state", "step", "done", "total", "updated_at")
