"""Consent texts, rights, retention and legal bases in the admin."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from marketing.admin.base import ModelAdmin, RecordAdmin
from marketing.models import (
    ConsentText,
    DataRecipient,
    DataRequest,
    ErasureNotice,
    RetentionProof,
    RetentionRule,
    Tombstone,
    TraitBasis,
)
from marketing.segmentation.clock import from_micros


@admin.register(ConsentText)
class ConsentTextAdmin(RecordAdmin):
    list_display = ("version", "text", "shown_since")

    @admin.display(description=_("first shown"))
    def shown_since(self, row: ConsentText) -> datetime:
        """Return when somebody first answered to it."""
        return from_micros(row.first_at)


@admin.register(Tombstone)
class TombstoneAdmin(RecordAdmin):
    list_display = ("identity_hash", "erased")

    @admin.display(description=_("erased at"))
    def erased(self, row: Tombstone) -> datetime:
        """Return when the person went."""
        return from_micros(row.at)


@admin.register(DataRequest)
class DataRequestAdmin(RecordAdmin):
    list_display = ("profile", "status", "requested_at", "due_at", "answered_at", "failure")
    list_select_related = ("profile",)
    list_filter = ("status",)


@admin.register(RetentionRule)
class RetentionRuleAdmin(ModelAdmin):
    list_display = ("data_class", "days")
    list_editable = ("days",)
    list_display_links = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Every class has its row; there are no others."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """An empty limit keeps; a row that is gone would be asked for again."""
        return False


@admin.register(RetentionProof)
class RetentionProofAdmin(RecordAdmin):
    list_display = ("at", "data_class", "days", "deleted_n", "older_n")
    list_filter = ("data_class",)


@admin.register(DataRecipient)
class DataRecipientAdmin(ModelAdmin):
    list_display = ("name", "url", "is_active", "created_at")
    readonly_fields = ("created_at",)


@admin.register(ErasureNotice)
class ErasureNoticeAdmin(RecordAdmin):
    list_display = ("recipient", "status", "erased_at", "attempts_n", "sent_at", "error")
    list_select_related = ("recipient",)
    list_filter = ("status",)


@admin.register(TraitBasis)
class TraitBasisAdmin(ModelAdmin):
    list_display = ("definition", "basis", "recorded_at", "recorded_by")
    list_select_related = ("definition", "recorded_by")
    autocomplete_fields = ("definition",)
    fields = ("definition", "basis", "reason", "recorded_at", "recorded_by")
    readonly_fields = ("recorded_at", "recorded_by")

    def save_model(self, request: HttpRequest, obj: TraitBasis, form: forms.ModelForm[Any], change: bool) -> None:
        """Write down who recorded it, and when."""
        assert isinstance(request.user, User)  # the admin lets in nobody else
        obj.recorded_by, obj.recorded_at = request.user, timezone.now()
        super().save_model(request, obj, form, change)
