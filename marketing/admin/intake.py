"""Where events come from, in the admin: sources, their keys, and what could not be stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from marketing.admin.base import ModelAdmin, RecordAdmin
from marketing.choices import KeyScope
from marketing.errors import CannotIssueKey
from marketing.models import DeadLetter, KeyUsage, Source, SpoolOffset, WriteKey
from marketing.services.deadletters import replay
from marketing.services.sources import OVERLAP, issue_key, revoke_key, rotate_key


@admin.register(Source)
class SourceAdmin(ModelAdmin):
    list_display = ("name", "kind", "rank", "created_at", "archived_at")
    list_filter = ("kind",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "kind", "rank")
    actions = ("issue", "issue_for_clients")

    def save_model(self, request: HttpRequest, obj: Source, form: Any, change: bool) -> None:
        """Stamp a new source with the moment it was made."""
        if not change:
            obj.created_at = timezone.now()
        super().save_model(request, obj, form, change)

    def has_issue_permission(self, request: HttpRequest) -> bool:
        """Whoever may add write keys may issue one."""
        return request.user.has_perm("marketing.add_writekey")

    @admin.action(description=_("Issue a key that may send events"), permissions=["issue"])
    def issue(self, request: HttpRequest, queryset: QuerySet[Source]) -> HttpResponse:
        """Make a key for each source and show the secrets, this once."""
        return self._issue(request, queryset, [KeyScope.WRITE])

    @admin.action(description=_("Issue a key that may send events and ask for arms"), permissions=["issue"])
    def issue_for_clients(self, request: HttpRequest, queryset: QuerySet[Source]) -> HttpResponse:
        """The same for clients of experiments."""
        return self._issue(request, queryset, [KeyScope.WRITE, KeyScope.DECIDE])

    def _issue(self, request: HttpRequest, queryset: QuerySet[Source], scopes: Sequence[KeyScope]) -> HttpResponse:
        at = timezone.now()
        issued = [(source, issue_key(source=source, scopes=scopes, at=at)[1]) for source in queryset.order_by("name")]
        return show_secrets(self, request, issued)


def show_secrets(
    site: admin.ModelAdmin[Any], request: HttpRequest, issued: Sequence[tuple[Source, str]]
) -> HttpResponse:
    """Show new keys' secrets, this once."""
    context = {
        **site.admin_site.each_context(request),
        "issued": issued,
        "title": _("Write keys"),
        "opts": site.opts,
    }
    return TemplateResponse(request, "admin/marketing/issued_keys.html", context)


@admin.register(WriteKey)
class WriteKeyAdmin(RecordAdmin):
    list_display = (
        "prefix",
        "source",
        "may",
        "rate_limit",
        "quota",
        "used_today",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_select_related = ("source",)
    list_filter = ("source",)
    fields = (
        "prefix",
        "source",
        "scopes",
        "rate_limit",
        "quota",
        "acts_for",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    readonly_fields = tuple(name for name in fields if name not in ("rate_limit", "quota"))
    actions = ("rotate", "revoke")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WriteKey]:
        """Add what was used today."""
        today = KeyUsage.objects.filter(key=OuterRef("pk"), day=timezone.now().astimezone(UTC).date())
        keys: QuerySet[WriteKey] = super().get_queryset(request)
        return keys.annotate(used=Subquery(today.values("n")[:1]))

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Rate limit and quota can be changed; the rest is what it was issued with."""
        return request.user.has_perm("marketing.change_writekey")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whoever may change write keys may revoke them."""
        return request.user.has_perm("marketing.change_writekey")

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        """A rotated key is a new one, and the end of an old one."""
        return request.user.has_perms(["marketing.add_writekey", "marketing.change_writekey"])

    @admin.display(description=_("may"))
    def may(self, key: WriteKey) -> str:
        """Return the scopes as people read them."""
        words = dict(KeyScope.choices)
        return ", ".join(str(words.get(scope, scope)) for scope in key.scopes)

    @admin.display(description=_("used today"))
    def used_today(self, key: Any) -> int:
        """Return how many messages and decisions the key was used for since midnight (UTC)."""
        return key.used or 0

    @admin.action(description=_("Replace (the old key stays valid for a week)"), permissions=["rotate"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[WriteKey]) -> HttpResponse | None:
        """Make successors and show their secrets, this once."""
        issued = []
        for key in queryset.select_related("source").order_by("pk"):
            try:
                made = rotate_key(key_id=key.pk, overlap=OVERLAP, at=timezone.now())
            except CannotIssueKey as error:
                self.message_user(request, f"{key}: {error}", messages.ERROR)
            else:
                issued.append((key.source, made[1]))
        return show_secrets(self, request, issued) if issued else None

    @admin.action(description=_("Revoke"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[WriteKey]) -> None:
        """Make the keys useless."""
        n = sum(revoke_key(key_id=key.pk, at=timezone.now()) for key in queryset)
        self.message_user(request, ngettext("%(n)s key revoked.", "%(n)s keys revoked.", n) % {"n": n})


@admin.register(DeadLetter)
class DeadLetterAdmin(RecordAdmin):
    list_display = ("at", "source", "reason", "replayed_at")
    list_select_related = ("source",)
    list_filter = ("source",)
    search_fields = ("reason__istartswith",)
    actions = ("try_again",)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Whoever may change dead letters may try them again."""
        return request.user.has_perm("marketing.change_deadletter")

    @admin.action(description=_("Try again"), permissions=["replay"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        """Take the messages in once more."""
        result = replay(letter_ids=list(queryset.values_list("pk", flat=True)), at=timezone.now())
        said = _("%(stored)s stored, %(dead)s still cannot be.")
        self.message_user(request, said % {"stored": result.stored, "dead": result.still_dead})


@admin.register(SpoolOffset)
class SpoolOffsetAdmin(RecordAdmin):
    list_display = ("segment", "offset", "updated_at")
