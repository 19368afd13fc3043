"""What is known of single units: exposures, frozen contributions, and who has to be computed anew."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from experiments.admin.base import FactAdmin, ReadOnlyAdmin
from experiments.models import (
    DirtyUnit,
    Experiment,
    Exposure,
    FactsState,
    FrozenUnit,
    StaleUnit,
)


@admin.register(Exposure)
class ExposureAdmin(FactAdmin):
    list_display = ("unit_type", "unit_id", "experiment", "arm", "phase", "first_at", "source")
    list_select_related = ("experiment", "arm", "phase")
    list_filter = ("experiment",)
    search_fields = ("unit_id__exact",)
    search_help_text = gettext_lazy("The exact id of a unit")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Exposure], search_term: str
    ) -> tuple[QuerySet[Exposure], bool]:
        if not search_term:
            return queryset, False
        # Naming the few unit types lets the database use the index on (type, id).
        types = list(Experiment.objects.order_by().values_list("unit_type", flat=True).distinct())
        return queryset.filter(unit_type__in=types, unit_id=search_term), False


@admin.register(FrozenUnit)
class FrozenUnitAdmin(FactAdmin):
    """Erased people's contributions: no row leads back to a person."""

    list_display = ("token", "experiment", "phase", "arms")
    list_select_related = ("experiment", "phase")
    search_fields = ("experiment__key",)


@admin.register(FactsState)
class FactsStateAdmin(ReadOnlyAdmin):
    list_display = ("experiment", "units_n", "recomputed_n", "until")
    list_select_related = ("experiment",)
    ordering = ("-pk",)


@admin.register(DirtyUnit)
class DirtyUnitAdmin(FactAdmin):
    list_display = ("unit", "claim")


@admin.register(StaleUnit)
class StaleUnitAdmin(FactAdmin):
    list_display = ("state", "unit")
    list_select_related = ("state__experiment",)
