"""What the lists of experiments have in common: rows that only services write, and tables of millions of rows.

Fact tables are neither counted nor sorted: the number of rows is counted up to a cap, and the order is that of the
primary key.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest

COUNT_CAP = 10_000
"""Rows that a list of facts counts at most; the database would read all of a large table to count further."""


class CappedPaginator(Paginator[Any]):
    """Pages over a huge table: the count stops at the cap."""

    @cached_property
    def count(self) -> int:
        # The admin passes a query set, of which a slice can be counted.
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin's lists are query sets
        return rows[:COUNT_CAP].count()


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows that only services write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class FactAdmin(ReadOnlyAdmin):
    """Tables of millions of rows."""

    paginator = CappedPaginator
    ordering = ("-pk",)
    sortable_by = ()


class ReadOnlyInline(admin.TabularInline[Any, Any]):
    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
