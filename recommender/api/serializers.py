"""What the endpoints of the recommender take and show."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from config.webapi.endpoint import Strict
from config.webapi.pages import PageQuery, ordering
from recommender.choices import ModelStatus

MOST_ITEMS = 500
"""In one request: a batch of the statement that stores them."""
LARGEST_PRICE = 10**15
MOST_TAGS = 100
MOST_FALLBACKS = 10
LONGEST_TEXT = 20_000


class ItemOut(serializers.Serializer[Any]):
    item_id = serializers.CharField()
    title = serializers.CharField()
    category = serializers.CharField()
    brand = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    price = serializers.IntegerField(allow_null=True, help_text="In millionths of the currency.")
    currency = serializers.CharField()
    url = serializers.CharField()
    image = serializers.CharField()
    is_active = serializers.BooleanField()
    stock = serializers.IntegerField(allow_null=True)
    min_age = serializers.IntegerField()
    published_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    popularity = serializers.FloatField()
    updated_at = serializers.DateTimeField()


class ItemQuery(PageQuery):
    ordering = ordering("pk", "-popularity", "-updated_at", "item_id", "title")
    category = serializers.CharField(max_length=200, required=False)
    is_active = serializers.BooleanField(required=False, allow_null=True, default=None)
    search = serializers.CharField(max_length=100, required=False, help_text="Part of the title.")


class ItemIn(Strict):
    item_id = serializers.RegexField(r"^[^/\x00]+\Z", max_length=200)
    title = serializers.CharField(max_length=300)
    category = serializers.CharField(max_length=200, allow_blank=True, required=False)
    brand = serializers.CharField(max_length=200, allow_blank=True, required=False)
    tags = serializers.ListField(child=serializers.CharField(max_length=100), max_length=MOST_TAGS, required=False)
    text = serializers.CharField(max_length=LONGEST_TEXT, allow_blank=True, required=False)
    attributes = serializers.DictField(required=False)
    price = serializers.IntegerField(min_value=0, max_value=LARGEST_PRICE, allow_null=True, required=False)
    currency = serializers.RegexField(r"^([A-Z]{3})?\Z", allow_blank=True, required=False)
    url = serializers.CharField(max_length=1000, allow_blank=True, required=False)
    image = serializers.CharField(max_length=500, allow_blank=True, required=False)
    is_active = serializers.BooleanField(required=False)
    stock = serializers.IntegerField(min_value=0, max_value=2**31 - 1, allow_null=True, required=False)
    min_age = serializers.IntegerField(min_value=0, max_value=150, required=False)
    published_at = serializers.DateTimeField(allow_null=True, required=False)
    expires_at = serializers.DateTimeField(allow_null=True, required=False)


class ItemsIn(Strict):
    items = serializers.ListField(child=ItemIn(), min_length=1, max_length=MOST_ITEMS)


class ItemCounts(serializers.Serializer[Any]):
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()


class VersionOut(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    algorithm = serializers.CharField()
    parameters = serializers.JSONField()
    filters = serializers.JSONField()
    rules = serializers.JSONField()
    fallbacks = serializers.ListField(child=serializers.CharField())
    window_days = serializers.IntegerField(allow_null=True)
    leave_out_treated = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class StrategyOut(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    is_active = serializers.BooleanField()
    retrain_hours = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    current_version = VersionOut(allow_null=True)


class StrategyChange(Strict):
    """What is left out stays; another design is the next version."""

    algorithm = serializers.CharField(max_length=60, required=False)
    parameters = serializers.DictField(
        child=serializers.JSONField(allow_null=True),
        required=False,
        help_text="Of the algorithm; what is left out has its usual value.",
    )
    filters = serializers.DictField(
        child=serializers.JSONField(allow_null=True), required=False, help_text="See docs/recommender.md."
    )
    rules = serializers.DictField(
        child=serializers.JSONField(allow_null=True), required=False, help_text="See docs/recommender.md."
    )
    fallbacks = serializers.ListField(
        child=serializers.SlugField(max_length=60), max_length=MOST_FALLBACKS, required=False
    )
    window_days = serializers.IntegerField(
        min_value=1, max_value=36_500, allow_null=True, required=False, help_text="Learn from so many days; null: all."
    )
    leave_out_treated = serializers.BooleanField(required=False)


class StrategyIn(StrategyChange):
    slug = serializers.RegexField(
        r"^[-a-zA-Z0-9_]+\Z", max_length=60, required=False, help_text="Left out: made of the name."
    )
    name = serializers.CharField(max_length=100)
    description = serializers.CharField(max_length=500, allow_blank=True, default="")
    retrain_hours = serializers.IntegerField(min_value=1, max_value=10_000, default=24)
    algorithm = serializers.CharField(max_length=60)


class StrategyQuery(PageQuery):
    ordering = ordering("name", "-name", "slug", "-created_at")
    is_active = serializers.BooleanField(required=False, allow_null=True, default=None)


class ModelOut(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="pk")
    strategy_version = serializers.IntegerField(source="strategy_version.number")
    status = serializers.ChoiceField(ModelStatus.choices)
    message = serializers.CharField()
    n_interactions = serializers.IntegerField()
    n_users = serializers.IntegerField()
    n_items = serializers.IntegerField()
    fingerprint = serializers.CharField()
    parameters = serializers.JSONField()
    metrics = serializers.JSONField()
    sha256 = serializers.CharField()
    started_at = serializers.DateTimeField()
    trained_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    published_at = serializers.DateTimeField(allow_null=True)
    retired_at = serializers.DateTimeField(allow_null=True)


class ModelQuery(PageQuery):
    ordering = ordering("-started_at", "started_at")
    status = serializers.ChoiceField(ModelStatus.choices, required=False)


class ChangeQuery(PageQuery):
    ordering = ordering("-pk", "pk")
    strategy = serializers.CharField(max_length=60, required=False, help_text="Only of the strategy of this slug.")
