"""What the lists of the record share: read here, written by services, quick on millions of rows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    _Paginator = Paginator[Any]
else:
    ModelAdmin = admin.ModelAdmin  # generic for the type checker only
    TabularInline = admin.TabularInline
    _Paginator = Paginator

MOST_COUNTED: Final = 10_000  # rows: to count further the database would read all of a large table


class CappedPaginator(_Paginator):
    """Pages over a huge table: the count stops at the cap."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin's lists are query sets
        return rows[:MOST_COUNTED].count()


class ReadOnly:
    """Rows whose rules a form does not know: nobody adds, changes or deletes them here."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class RecordAdmin(ReadOnly, ModelAdmin):
    """A table that only services write; newest first by key, neither counted to its end nor sortable."""

    paginator = CappedPaginator
    show_full_result_count = False
    ordering = ("-pk",)
    sortable_by = ()
    list_per_page = 50


class RecordInline(ReadOnly, TabularInline):
    extra = 0
    can_delete = False
