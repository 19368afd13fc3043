"""Campaigns in the admin: read here, changed through services; actions call the same ones as the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy

from marketing.errors import CannotTransition
from marketing.forms.senders import SenderForm
from marketing.models import (
    Campaign,
    CampaignArm,
    ChannelState,
    Creative,
    Delivery,
    FrequencyCap,
    Link,
    MailFeedback,
    Occurrence,
    OutsideCount,
    ReviewPolicy,
    Sender,
    Suppression,
)
from marketing.services import lifecycle
from marketing.services.sending.suppression import address_hash

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
else:
    _ModelAdmin = admin.ModelAdmin  # generic for the type checker only
    _TabularInline = admin.TabularInline


class _WrittenByServices:
    """Rows that have rules a form does not know: nobody adds, changes or deletes them here."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class ArmInline(_WrittenByServices, _TabularInline):
    model = CampaignArm
    fields = ("key", "name", "is_control", "percent", "creative", "strategy", "item_count", "link")
    extra = 0


@admin.register(Campaign)
class CampaignAdmin(_WrittenByServices, _ModelAdmin):
    list_display = ("name", "status", "segment", "experiment_key", "owner", "created_at", "launched_at")
    list_filter = ("status", "is_demo")
    list_select_related = ("segment", "owner")
    search_fields = ("name__istartswith", "=slug", "=experiment_key")
    ordering = ("-created_at", "-pk")
    show_full_result_count = False
    inlines = (ArmInline,)
    # A request for a review and its answer need the review's page: a row of a list shows nobody what changes.
    actions = ("schedule", "unschedule", "launch", "pause", "resume", "finish", "emergency_stop", "archive")

    def has_launch_permission(self, request: HttpRequest) -> bool:
        """Whoever may launch on the pages may do it here."""
        return request.user.has_perm("marketing.launch_campaign")

    @admin.action(description=pgettext_lazy("campaign action", "Schedule"), permissions=["launch"])
    def schedule(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        self._each("schedule", request, queryset)

    @admin.action(description=_("Take back"), permissions=["launch"])
    def unschedule(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        self._each("unschedule", request, queryset)

    @admin.action(description=_("Launch"), permissions=["launch"])
    def launch(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        self._each("launch", request, queryset)

    @admin.action(description=_("Pause"), permissions=["launch"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        self._each("pause", request, queryset)

    @admin.action(description=_("Resume"), permissions=["launch"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        self._each("resume", request, queryset)

    @admin.action(description=_("Finish"), permissions=["launch"])
    def finish(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        self._each("finish", request, queryset)

    @admin.action(description=_("Emergency stop"), permissions=["launch"])
    def emergency_stop(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        self._each("emergency_stop", request, queryset)

    @admin.action(description=_("Archive"), permissions=["launch"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        self._each("archive", request, queryset)

    def _each(self, name: str, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        """Call the service for each campaign; one that cannot move does not hold up the others."""
        assert isinstance(request.user, User)  # the admin lets in nobody else
        done = 0
        for campaign in queryset.order_by("pk"):
            try:
                lifecycle.ACTIONS[name](campaign_id=campaign.pk, at=timezone.now(), actor=request.user)
                done += 1
            except CannotTransition as error:
                self.message_user(request, f"{campaign}: {error}", messages.ERROR)
        if done:
            text = ngettext("%(n)s campaign changed.", "%(n)s campaigns changed.", done) % {"n": done}
            self.message_user(request, text, messages.SUCCESS)


@admin.register(Creative)
class CreativeAdmin(_WrittenByServices, _ModelAdmin):
    list_display = ("key", "version", "headline", "created_by", "created_at")
    list_select_related = ("created_by",)
    search_fields = ("key__startswith", "headline__istartswith")
    ordering = ("-created_at", "-pk")
    show_full_result_count = False


@admin.register(Link)
class LinkAdmin(_WrittenByServices, _ModelAdmin):
    list_display = ("url", "campaign")
    list_select_related = ("campaign",)
    search_fields = ("url__startswith",)
    ordering = ("-pk",)
    show_full_result_count = False


@admin.register(Delivery)
class DeliveryAdmin(_WrittenByServices, _ModelAdmin):
    list_display = ("campaign", "step", "occurrence", "profile_id", "arm_key", "status", "status_at")
    list_filter = ("status",)
    list_select_related = ("campaign",)
    raw_id_fields = ("campaign", "profile")
    ordering = ("-pk",)
    show_full_result_count = False


@admin.register(Occurrence)
class OccurrenceAdmin(_WrittenByServices, _ModelAdmin):
    list_display = ("campaign", "key", "at", "people")
    list_select_related = ("campaign",)
    raw_id_fields = ("campaign",)
    ordering = ("-at", "-pk")
    show_full_result_count = False


@admin.register(ReviewPolicy)
class ReviewPolicyAdmin(_WrittenByServices, _ModelAdmin):
    list_display = ("is_on", "changed_at", "changed_by", "reason")
    list_select_related = ("changed_by",)


@admin.register(OutsideCount)
class OutsideCountAdmin(_WrittenByServices, _ModelAdmin):
    list_display = ("campaign", "day", "reason", "n")
    list_filter = ("reason",)
    list_select_related = ("campaign",)
    ordering = ("-pk",)
    show_full_result_count = False


@admin.register(Sender)
class SenderAdmin(_ModelAdmin):
    list_display = ("name", "email", "reply_to")
    form = SenderForm


@admin.register(FrequencyCap)
class FrequencyCapAdmin(_ModelAdmin):
    list_display = ("messages", "days", "channel")


@admin.register(Suppression)
class SuppressionAdmin(_ModelAdmin):
    """Found by the exact address only; taking one off the list is a correction of a mistake."""

    list_display = ("address_hash", "reason", "at")
    list_filter = ("reason",)
    search_fields = ("=address_hash",)
    search_help_text = _("The exact address")
    ordering = ("-at", "-pk")
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        return super().get_search_results(request, queryset, address_hash(search_term) if search_term else "")


@admin.register(ChannelState)
class ChannelStateAdmin(_WrittenByServices, _ModelAdmin):
    list_display = ("channel", "failures", "open_until", "last_error")


@admin.register(MailFeedback)
class MailFeedbackAdmin(_WrittenByServices, _ModelAdmin):
    """What came back; found by the exact address."""

    list_display = ("kind", "status", "campaign", "arm_key", "source", "at")
    list_filter = ("kind", "source")
    list_select_related = ("campaign",)
    search_fields = ("=address_hash",)
    search_help_text = _("The exact address")
    ordering = ("-at", "-pk")
    show_full_result_count = False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[MailFeedback], search_term: str
    ) -> tuple[QuerySet[MailFeedback], bool]:
        return super().get_search_results(request, queryset, address_hash(search_term) if search_term else "")
