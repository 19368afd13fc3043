"""How events become one number per exposed unit: the definition of a metric, as data with a schema version.

A definition is read by the decoder of its schema and checked by the validator of its schema, so that a plan that was
registered years ago keeps meaning what it meant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFINITION_SCHEMA: Final = 2
MICRO: Final = 1_000_000
EXPERIMENT_PLACEHOLDER: Final = "$experiment"

Aggregation = Literal["exists", "count", "sum", "max", "distinct", "first", "last"]
FilterOperator = Literal["eq", "ne", "lt", "lte", "gt", "gte"]
NUMBER_OPERATORS: Final = frozenset(("lt", "lte", "gt", "gte"))
# What the first schema knew; its definitions decode to themselves.
_AGGREGATIONS_OF_1: Final = ("exists", "count", "sum")


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """Only events whose property compares with the value (`$experiment` = the experiment's key).

    `eq` and `ne` compare texts, the others numbers. An event without the property never matches.
    """

    property: str
    value: str
    operator: FilterOperator = "eq"


def compares_numbers(item: PropertyFilter) -> bool:
    """Whether the filter reads its property as a number."""
    return item.operator in NUMBER_OPERATORS


@dataclass(frozen=True, slots=True)
class Part:
    """One number per unit: which events count, what of each, and how they become one.

    `value_property` names a number of the event's properties instead of its value (for `distinct`: the text whose
    different values are counted). With `after`, only events count that follow these types in this order: the steps of
    a funnel.
    """

    event_types: tuple[str, ...]
    aggregation: Aggregation
    filters: tuple[PropertyFilter, ...] = ()
    value_property: str = ""
    after: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The event properties that are read as texts."""
        names = {item.property for item in self.filters if not compares_numbers(item)}
        return tuple(sorted(names | ({self.value_property} if self.aggregation == "distinct" else set())))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The event properties that are read as numbers."""
        names = {item.property for item in self.filters if compares_numbers(item)}
        has_number = self.value_property and self.aggregation != "distinct"
        return tuple(sorted(names | ({self.value_property} if has_number else set())))

    @property
    def read_types(self) -> tuple[str, ...]:
        """Every event type that has to be read."""
        return (*self.event_types, *self.after)

    def as_json(self) -> dict[str, Any]:
        """The form kept in the database."""
        return {
            "event_types": list(self.event_types),
            "aggregation": self.aggregation,
            "filters": [{"property": f.property, "value": f.value, "operator": f.operator} for f in self.filters],
            "value_property": self.value_property,
            "after": list(self.after),
        }


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What a metric measures.

    The window opens `delay_hours` after the unit's first exposure and stays open for
    `window_hours`; the covariate is the same number over `lookback_days` before the exposure
    (0 = no covariate), or the summed values of `covariate_event_types` where these are named.
    `scale` divides the stored integers (money: 1,000,000); a covariate needs none, because the
    adjustment does not change when the covariate is multiplied.

    A ratio divides by its `denominator`. A quantile is one of the units' numbers, or with `per_event`
    one of the single events' values, whose units are then clusters. `cap` bounds what one unit can have,
    in units of value; `cap_percentile` takes the bound from all arms together at each look. With fewer
    than `minimum_sample` units in an arm, nothing is concluded.
    """

    event_types: tuple[str, ...]
    aggregation: Aggregation
    window_hours: int
    delay_hours: int = 0
    lookback_days: int = 0
    scale: int = 1
    cap: float | None = None
    filters: tuple[PropertyFilter, ...] = field(default_factory=tuple)
    covariate_event_types: tuple[str, ...] = ()
    value_property: str = ""
    after: tuple[str, ...] = ()
    denominator: Part | None = None
    denominator_scale: int = 1
    quantile: float | None = None
    per_event: bool = False
    cap_percentile: float | None = None
    minimum_sample: int = 0

    @property
    def numerator(self) -> Part:
        """The metric's own number; what a ratio divides."""
        return Part(self.event_types, self.aggregation, self.filters, self.value_property, self.after)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The numbers of a unit that the definition needs."""
        return (self.numerator,) if self.denominator is None else (self.numerator, self.denominator)

    @property
    def properties(self) -> tuple[str, ...]:
        """The event properties that are read as texts."""
        return tuple(sorted({name for part in self.parts for name in part.texts}))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The event properties that are read as numbers."""
        return tuple(sorted({name for part in self.parts for name in part.numbers}))

    @property
    def read_types(self) -> tuple[str, ...]:
        """Every event type that has to be read."""
        types = {name for part in self.parts for name in part.read_types}
        return tuple(sorted(types | set(self.covariate_event_types)))

    def as_json(self) -> dict[str, Any]:
        """The form kept in the database; `decode_definition` reads it back."""
        return {
            "schema": DEFINITION_SCHEMA,
            **self.numerator.as_json(),
            "window_hours": self.window_hours,
            "delay_hours": self.delay_hours,
            "lookback_days": self.lookback_days,
            "scale": self.scale,
            "cap": self.cap,
            "covariate_event_types": list(self.covariate_event_types),
            "denominator": None if self.denominator is None else self.denominator.as_json(),
            "denominator_scale": self.denominator_scale,
            "quantile": self.quantile,
            "per_event": self.per_event,
            "cap_percentile": self.cap_percentile,
            "minimum_sample": self.minimum_sample,
        }


def decode_definition(data: Mapping[str, Any]) -> MetricDefinition:
    """The definition in a stored JSON column; ValueError says which part is wrong."""
    schema = data.get("schema")
    if schema not in _DECODERS:
        message = f"schema must be one of {', '.join(map(str, _DECODERS))}, got {schema!r}"
        raise ValueError(message)
    decode, validate = _DECODERS[schema]
    try:
        definition = decode(data)
    except KeyError as error:
        message = f"missing key: {error.args[0]}"
        raise ValueError(message) from error
    found = [text for text, is_wrong in validate(definition).items() if is_wrong]
    if found:
        raise ValueError("; ".join(found))
    return definition


def check_kind(kind: str, definition: MetricDefinition) -> None:
    """ValueError if a metric of this kind cannot be defined so."""
    is_quantile, is_ratio = definition.quantile is not None, definition.denominator is not None
    problems = {
        f"a {kind} has no denominator": is_ratio and kind != "ratio",
        "a ratio needs a denominator": kind == "ratio" and not is_ratio,
        f"a {kind} has no quantile": is_quantile and kind != "quantile",
        "a quantile needs a share between 0 and 1": kind == "quantile" and not is_quantile,
        f"a {kind} aggregates by one of {', '.join(_OF_KIND.get(kind, ()))}": (
            definition.aggregation not in _OF_KIND.get(kind, get_args(Aggregation))
        ),
        "retention counts from a later day: delay_hours must be positive": (
            kind == "retention" and definition.delay_hours == 0
        ),
        "a funnel step needs the steps before it": kind == "funnel" and not definition.after,
        f"a {kind} has no steps": bool(definition.after) and kind not in ("funnel", "ratio"),
        f"a {kind} cannot be capped": (
            kind in ("proportion", "retention", "funnel", "quantile")
            and (definition.cap is not None or definition.cap_percentile is not None)
        ),
        "a quantile has no covariate": kind == "quantile" and definition.lookback_days > 0,
    }
    found = [text for text, is_wrong in problems.items() if is_wrong]
    if found:
        raise ValueError("; ".join(found))


_OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "proportion": ("exists",),
    "retention": ("exists",),
    "funnel": ("exists",),
    "count": ("count", "distinct"),
    "mean": ("sum", "max", "first", "last", "count", "distinct"),
    "quantile": ("sum", "max", "first", "last", "count", "distinct"),
    "ratio": get_args(Aggregation),
}


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in value)


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


def _filters(data: Mapping[str, Any]) -> tuple[PropertyFilter, ...]:
    return tuple(
        PropertyFilter(
            property=str(item["property"]),
            value=str(item["value"]),
            operator=str(item.get("operator", "eq")),  # type: ignore[arg-type]  # the validator checks it
        )
        for item in data.get("filters", ())
    )


def _refuse_unknown(data: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(data) - known)
    if unknown:
        message = f"unknown keys: {', '.join(unknown)}"
        raise ValueError(message)


def _decode_1(data: Mapping[str, Any]) -> MetricDefinition:
    """Proportions, counts and sums of the event's value, each with a window."""
    _refuse_unknown(data, _KEYS_OF_1)
    return MetricDefinition(
        event_types=_names(data["event_types"]),
        aggregation=data["aggregation"],
        window_hours=int(data["window_hours"]),
        delay_hours=int(data.get("delay_hours", 0)),
        lookback_days=int(data.get("lookback_days", 0)),
        scale=int(data.get("scale", 1)),
        cap=_optional(data.get("cap")),
        filters=_filters(data),
        covariate_event_types=_names(data.get("covariate_event_types", ())),
    )


def _decode_2(data: Mapping[str, Any]) -> MetricDefinition:
    """Every kind: other aggregations and values, steps, denominators, quantiles, pooled caps."""
    _refuse_unknown(data, _KEYS_OF_2)
    denominator = data.get("denominator")
    return MetricDefinition(
        event_types=_names(data["event_types"]),
        aggregation=data["aggregation"],
        window_hours=int(data["window_hours"]),
        delay_hours=int(data.get("delay_hours", 0)),
        lookback_days=int(data.get("lookback_days", 0)),
        scale=int(data.get("scale", 1)),
        cap=_optional(data.get("cap")),
        filters=_filters(data),
        covariate_event_types=_names(data.get("covariate_event_types", ())),
        value_property=str(data.get("value_property", "")),
        after=_names(data.get("after", ())),
        denominator=None if denominator is None else _decode_part(denominator),
        denominator_scale=int(data.get("denominator_scale", 1)),
        quantile=_optional(data.get("quantile")),
        per_event=bool(data.get("per_event", False)),
        cap_percentile=_optional(data.get("cap_percentile")),
        minimum_sample=int(data.get("minimum_sample", 0)),
    )


def _decode_part(data: Mapping[str, Any]) -> Part:
    return Part(
        event_types=_names(data["event_types"]),
        aggregation=data["aggregation"],
        filters=_filters(data),
        value_property=str(data.get("value_property", "")),
        after=_names(data.get("after", ())),
    )


def _problems_1(definition: MetricDefinition) -> dict[str, bool]:
    return {
        **_frame_problems(definition),
        f"aggregation must be one of {', '.join(_AGGREGATIONS_OF_1)}": (
            definition.aggregation not in _AGGREGATIONS_OF_1
        ),
        **_filter_problems(definition.numerator),
    }


def _problems_2(definition: MetricDefinition) -> dict[str, bool]:
    found = _frame_problems(definition)
    for place, part in zip(("", "denominator: "), definition.parts, strict=False):
        found |= {f"{place}{text}": is_wrong for text, is_wrong in _part_problems(part).items()}
    return found | {
        "denominator_scale must be positive": definition.denominator_scale <= 0,
        "quantile must lie between 0 and 1": definition.quantile is not None and not 0 < definition.quantile < 1,
        "per_event needs a quantile of summed values": (
            definition.per_event and (definition.quantile is None or definition.aggregation != "sum")
        ),
        "cap_percentile must lie between 50 and 100": (
            definition.cap_percentile is not None and not 50 <= definition.cap_percentile < 100
        ),
        "cap and cap_percentile exclude each other": (
            definition.cap is not None and definition.cap_percentile is not None
        ),
        "minimum_sample must not be negative": definition.minimum_sample < 0,
    }


def _frame_problems(definition: MetricDefinition) -> dict[str, bool]:
    return {
        "event_types must name at least one event": not definition.event_types,
        "window_hours must be positive": definition.window_hours <= 0,
        "delay_hours must not be negative": definition.delay_hours < 0,
        "lookback_days must not be negative": definition.lookback_days < 0,
        "scale must be positive": definition.scale <= 0,
        "cap must be positive": definition.cap is not None and definition.cap <= 0,
    }


def _part_problems(part: Part) -> dict[str, bool]:
    return {
        "event_types must name at least one event": not part.event_types,
        f"aggregation must be one of {', '.join(get_args(Aggregation))}": (
            part.aggregation not in get_args(Aggregation)
        ),
        "distinct needs the property whose values are counted": (
            part.aggregation == "distinct" and not part.value_property
        ),
        f"{part.aggregation} takes no value_property": (
            part.aggregation in ("exists", "count") and bool(part.value_property)
        ),
        "value_property must be an identifier": bool(part.value_property) and not part.value_property.isidentifier(),
        "steps (after) go with exists only": bool(part.after) and part.aggregation != "exists",
        **_filter_problems(part),
    }


def _filter_problems(part: Part) -> dict[str, bool]:
    return {
        "filter properties must be identifiers": any(not item.property.isidentifier() for item in part.filters),
        f"filter operators must be among {', '.join(get_args(FilterOperator))}": any(
            item.operator not in get_args(FilterOperator) for item in part.filters
        ),
        "a filter that compares numbers needs a number": any(
            compares_numbers(item) and not _is_number(item.value) for item in part.filters
        ),
    }


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < MICRO * MICRO
    except ValueError:
        return False


_KEYS_OF_1: Final = frozenset(
    (
        "schema", "event_types", "aggregation", "window_hours", "delay_hours", "lookback_days", "scale", "cap",
        "filters", "covariate_event_types",
    )
)  # fmt: skip
_KEYS_OF_2: Final = frozenset(("schema", *MetricDefinition.__dataclass_fields__))
_DECODERS: Final[
    dict[
        Any,
        tuple[Callable[[Mapping[str, Any]], MetricDefinition], Callable[[MetricDefinition], dict[str, bool]]],
    ]
] = {1: (_decode_1, _problems_1), 2: (_decode_2, _problems_2)}
