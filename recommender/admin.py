"""The recommender in the admin: fast on millions of rows, actions call services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from recommender.errors import CannotPublish
from recommender.models import ChangeLog, EventWeight, Item, ModelVersion, Slate, Strategy, StrategyVersion
from recommender.services.publishing import publish_model, roll_back
from recommender.tasks import train_strategy

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import Model, QuerySet
    from django.forms import ModelForm

    BaseAdmin = admin.ModelAdmin[Any]
else:
    BaseAdmin = admin.ModelAdmin  # generic for the type checker only


def _actor(request: HttpRequest) -> User | None:
    user = request.user
    return user if user.is_authenticated else None


class ReadOnlyAdmin(BaseAdmin):
    """Rows that only services write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False


@admin.register(Item)
class ItemAdmin(BaseAdmin):
    """The catalogue; search is by the start of id or title, which an index can serve."""

    list_display = ("item_id", "title", "category", "price", "currency", "is_active", "popularity")
    list_filter = ("is_active", "is_demo")
    search_fields = ("=item_id", "title__istartswith")
    ordering = ("-popularity", "id")
    readonly_fields = ("popularity", "created_at", "updated_at")
    show_full_result_count = False

    def save_model(self, request: HttpRequest, obj: Item, form: ModelForm[Item], change: bool) -> None:
        """Stamps the row, so that serving processes see the change."""
        obj.updated_at = timezone.now()
        if not change:
            obj.created_at = obj.updated_at
        super().save_model(request, obj, form, change)


@admin.register(EventWeight)
class EventWeightAdmin(BaseAdmin):
    """Weights, editable in the list."""

    list_display = ("event_type", "weight")
    list_editable = ("weight",)
    ordering = ("-weight", "event_type")


@admin.register(Strategy)
class StrategyAdmin(BaseAdmin):
    """Name, schedule and switch; how it works is a version, made by a service."""

    list_display = ("name", "slug", "current_version", "is_active", "retrain_hours")
    list_select_related = ("current_version",)
    ordering = ("name", "id")
    fields = ("name", "slug", "description", "is_active", "retrain_hours", "current_version", "created_at")
    readonly_fields = ("slug", "current_version", "created_at")
    actions = ("train_now", "go_back")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A strategy is made with its first version, by a service."""
        return False

    @admin.action(description=_("Train now"), permissions=["train"])
    def train_now(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> None:
        """Asks a worker for a training of each."""
        slugs = list(queryset.values_list("slug", flat=True))
        for slug in slugs:
            train_strategy.delay(slug)
        text = ngettext("%d training will start.", "%d trainings will start.", len(slugs)) % len(slugs)
        self.message_user(request, text, messages.SUCCESS)

    @admin.action(description=_("Roll back to the earlier model"), permissions=["train"])
    def go_back(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> None:
        """The model before serves again."""
        for slug in queryset.values_list("slug", flat=True):
            try:
                roll_back(slug=slug, at=timezone.now(), actor=_actor(request))
                self.message_user(request, slug, messages.SUCCESS)
            except CannotPublish as error:
                self.message_user(request, str(error), messages.ERROR)

    def has_train_permission(self, request: HttpRequest) -> bool:
        """Who may train and publish."""
        return request.user.has_perm("recommender.train_strategy")


@admin.register(StrategyVersion)
class StrategyVersionAdmin(ReadOnlyAdmin):
    """Versions never change."""

    list_display = ("strategy", "number", "algorithm", "created_at")
    list_select_related = ("strategy",)
    list_filter = ("algorithm",)
    ordering = ("strategy", "-number")


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    """What trainings produced."""

    list_display = ("id", "strategy", "status", "n_interactions", "n_users", "n_items", "started_at", "published_at")
    list_select_related = ("strategy",)
    list_filter = ("status", "strategy")
    ordering = ("-started_at", "-id")
    actions = ("publish",)

    @admin.action(description=_("Publish"), permissions=["train"])
    def publish(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        """Makes the chosen model of each strategy serve."""
        for model_id in queryset.order_by("pk").values_list("pk", flat=True):
            try:
                publish_model(model_id=model_id, at=timezone.now(), actor=_actor(request))
                self.message_user(request, str(model_id), messages.SUCCESS)
            except CannotPublish as error:
                self.message_user(request, str(error), messages.ERROR)

    def has_train_permission(self, request: HttpRequest) -> bool:
        """Who may train and publish."""
        return request.user.has_perm("recommender.train_strategy")


@admin.register(Slate)
class SlateAdmin(ReadOnlyAdmin):
    """Fact table: exact search only, newest first by primary key, no full count."""

    list_display = ("recommendation_id", "user_id", "strategy_version", "fallback", "fallback_reason", "at")
    list_select_related = ("strategy_version",)
    search_fields = ("=user_id",)
    ordering = ("-id",)


@admin.register(ChangeLog)
class ChangeLogAdmin(ReadOnlyAdmin):
    """Who changed what."""

    list_display = ("at", "object_type", "object_id", "transition", "actor", "message")
    list_select_related = ("actor",)
    search_fields = ("=object_id",)
    ordering = ("-id",)
