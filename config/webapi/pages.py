"""Lists in pages that cost the same however long the list is: by a key, not by an offset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.core import signing
from django.db.models import Field, Model, Q, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import Strict

USUAL: Final = 50
MOST: Final = 200
LONGEST_CURSOR: Final = 1_000
SALT: Final = "config.webapi.pages"

Row = TypeVar("Row", bound=Model)


class PageQuery(Strict):
    """What every list takes; a list adds its filters and its orders."""

    cursor = serializers.CharField(
        required=False, max_length=LONGEST_CURSOR, help_text="From `next` of the page before."
    )
    limit = serializers.IntegerField(required=False, default=USUAL, min_value=1, max_value=MOST)


def ordering(*names: str) -> serializers.ChoiceField:
    """The parameter `ordering` of a list: field names, `-` for descending; the first is the usual one."""
    return serializers.ChoiceField(choices=names, required=False, default=names[0])


def page_of(request: Request, rows: QuerySet[Row], query: dict[str, Any], show: Callable[[list[Row]], Any]) -> Response:
    """Answer one page. The order has the key as its last word, so that no row is left out or shown twice."""
    order, limit = query["ordering"], query["limit"]
    name, sign = order.removeprefix("-"), "-" if order.startswith("-") else ""
    if "cursor" in query:
        rows = rows.filter(_after(rows, order, name, query["cursor"]))
    found = list(rows.order_by(f"{sign}{name}", f"{sign}pk")[: limit + 1])
    shown, has_more = found[:limit], len(found) > limit
    following = _link(request, _cursor(order, shown[-1], name)) if has_more else None
    return Response({"results": show(shown), "next": following})


def _link(request: Request, cursor: str) -> str:
    parameters = request.query_params.copy()
    parameters["cursor"] = cursor
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")


def _cursor(order: str, row: Model, name: str) -> str:
    """Signed, so that what comes back is what was handed out and needs no other check."""
    return signing.dumps([order, _column(type(row), name).value_to_string(row), row.pk], salt=SALT)


def _after(rows: QuerySet[Row], order: str, name: str, cursor: str) -> Q:
    """The rows that follow the one that the cursor names."""
    try:
        known, value, pk = signing.loads(cursor, salt=SALT)
    except signing.BadSignature:
        known = value = pk = None
    if known != order:
        raise ValidationError({"cursor": ["It is of another list or another order. Start without it."]})
    side = "lt" if order.startswith("-") else "gt"
    column = _column(rows.model, name)
    value = column.to_python(value)
    return Q(**{f"{column.name}__{side}": value}) | Q(**{column.name: value, f"pk__{side}": pk})


def _column(model: type[Model], name: str) -> Field[Any, Any]:
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    assert isinstance(field, Field)
    return field
