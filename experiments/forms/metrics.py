"""The form on which a metric is drafted: every part of a definition, in words."""

from __future__ import annotations

from typing import Any, Final, get_args

from django import forms
from django.utils.translation import gettext_lazy as _

from experiments.definitions import Aggregation, FilterOperator
from experiments.models import Metric
from experiments.ports import MICRO, MetricDefinition, Part, PropertyFilter, check_kind, decode_definition
from experiments.services.metrics import MetricDraft

SIGNS: Final[dict[str, FilterOperator]] = {"=": "eq", "!=": "ne", "<=": "lte", "<": "lt", ">=": "gte", ">": "gt"}
AGGREGATIONS: Final = [
    ("exists", _("whether there is one")),
    ("count", _("how many")),
    ("sum", _("the sum of their values")),
    ("max", _("the largest value")),
    ("distinct", _("how many different values of a property")),
    ("first", _("the value of the first")),
    ("last", _("the value of the last")),
]
PERCENT: Final = 100
# What is a number of its own is kept in millionths; counts are whole.
OF_VALUES: Final = frozenset(("sum", "max", "first", "last"))


class NamesField(forms.CharField):
    """Names with commas between them."""

    def to_python(self, value: Any) -> Any:
        """The names, without blanks and empty ones."""
        return tuple(name.strip() for name in (super().to_python(value) or "").split(",") if name.strip())

    def prepare_value(self, value: Any) -> Any:
        """The names as they are typed."""
        return ", ".join(value) if isinstance(value, tuple | list) else value


class FiltersField(forms.CharField):
    """One condition on a line: property, sign, value."""

    widget = forms.Textarea(attrs={"rows": 2})

    def to_python(self, value: Any) -> Any:
        """The conditions; ValidationError names the line that is none."""
        lines = [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]
        return tuple(self._condition(line) for line in lines)

    def prepare_value(self, value: Any) -> Any:
        """The conditions as they are typed."""
        if not isinstance(value, tuple):
            return value
        signs = {operator: sign for sign, operator in SIGNS.items()}
        return "\n".join(f"{item.property} {signs[item.operator]} {item.value}" for item in value)

    @staticmethod
    def _condition(line: str) -> PropertyFilter:
        for sign in SIGNS:  # longer signs stand before those that they begin with
            name, found, value = line.partition(sign)
            if found and name.strip() and value.strip() and not set("<>=!") & set(name):
                return PropertyFilter(name.strip(), value.strip(), SIGNS[sign])
        raise forms.ValidationError(
            _("“%(line)s” is no condition; write for example: category = shoes, or quantity >= 2"),
            params={"line": line},
        )


class MetricForm(forms.Form):
    """A draft of a metric."""

    name = forms.CharField(label=_("Name"), max_length=120)
    key = forms.SlugField(label=_("Key"), max_length=80, help_text=_("What plans and files call it. It stays."))
    description = forms.CharField(
        label=_("Description"), required=False, max_length=1_000, widget=forms.Textarea(attrs={"rows": 2})
    )
    tags = NamesField(label=_("Tags"), required=False, help_text=_("With commas between them."))
    kind = forms.ChoiceField(label=_("Kind"), choices=Metric.Kind.choices)
    direction = forms.ChoiceField(label=_("Better is"), choices=Metric.Direction.choices)
    unit = forms.ChoiceField(label=_("Unit of value"), choices=Metric.Unit.choices)
    event_types = NamesField(
        label=_("Events"), help_text=_("Their names with commas between them, for example Order Completed.")
    )
    aggregation = forms.ChoiceField(label=_("Of each person's events"), choices=AGGREGATIONS)
    value_property = forms.CharField(
        label=_("Property instead of the value"),
        required=False,
        max_length=80,
        help_text=_("For example quantity. For different values: the property that is looked at."),
    )
    filters = FiltersField(
        label=_("Only events with"),
        required=False,
        help_text=_("One condition on a line: category = shoes, quantity >= 2. $experiment stands for the experiment."),
    )
    after = NamesField(
        label=_("Steps before"), required=False, help_text=_("Funnels: the events before it, in their order.")
    )
    denominator_events = NamesField(label=_("Divided by events"), required=False)
    denominator_aggregation = forms.ChoiceField(label=_("Of these"), choices=AGGREGATIONS, required=False)
    quantile_percent = forms.FloatField(
        label=_("Quantile, in percent"), required=False, min_value=1, max_value=99, help_text=_("50 is the median.")
    )
    per_event = forms.BooleanField(
        label=_("Of single events instead of people"),
        required=False,
        help_text=_("Each person's events then count as one cluster."),
    )
    window_hours = forms.IntegerField(label=_("Window in hours"), min_value=1, max_value=24 * 366, initial=168)
    delay_hours = forms.IntegerField(
        label=_("Opens after hours"),
        min_value=0,
        max_value=24 * 366,
        initial=0,
        help_text=_("After the first exposure. Retention on day 7 opens after 168."),
    )
    lookback_days = forms.IntegerField(
        label=_("Look-back in days"),
        min_value=0,
        max_value=366,
        initial=14,
        help_text=_("The same number before the exposure makes the result sharper (CUPED). 0: none."),
    )
    cap = forms.FloatField(label=_("At most, per person"), required=False, min_value=0.000001)
    cap_percentile = forms.FloatField(
        label=_("Or at most the percentile"), required=False, min_value=50, max_value=99.99
    )
    minimum_sample = forms.IntegerField(
        label=_("Fewest people in each arm"),
        required=False,
        min_value=0,
        help_text=_("Below it, nothing is concluded."),
    )

    def __init__(self, *args: Any, is_new: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not is_new:
            del self.fields["key"]

    def clean(self) -> dict[str, Any] | None:
        """Refuse parts that contradict each other, with the reason that the analysis would give."""
        data = super().clean()
        if data is None or self.errors:
            return data
        try:
            definition = decode_definition(self.definition().as_json())
            check_kind(data["kind"], definition)
        except ValueError as error:
            self.add_error(None, str(error))
        return data

    def definition(self) -> MetricDefinition:
        """The definition that the fields say."""
        data = self.cleaned_data
        denominator = None
        if data["denominator_events"]:
            denominator = Part(data["denominator_events"], data["denominator_aggregation"] or "count")
        percent = data["quantile_percent"]
        return MetricDefinition(
            event_types=data["event_types"],
            aggregation=data["aggregation"],
            window_hours=data["window_hours"],
            delay_hours=data["delay_hours"],
            lookback_days=data["lookback_days"],
            scale=_scale(data["aggregation"]),
            cap=data["cap"],
            filters=data["filters"],
            value_property=data["value_property"],
            after=data["after"],
            denominator=denominator,
            denominator_scale=1 if denominator is None else _scale(denominator.aggregation),
            quantile=None if percent is None else percent / PERCENT,
            per_event=data["per_event"],
            cap_percentile=data["cap_percentile"],
            minimum_sample=data["minimum_sample"] or 0,
        )

    def draft(self, *, key: str) -> MetricDraft:
        """What `draft_metric` stores."""
        data = self.cleaned_data
        return MetricDraft(
            key=key,
            name=data["name"],
            description=data["description"],
            kind=data["kind"],
            definition=self.definition(),
            direction=data["direction"],
            unit=data["unit"],
            tags=data["tags"],
        )


def initial_of(metric: Metric) -> dict[str, Any]:
    """The fields as a stored metric has them."""
    definition = metric.decoded()
    denominator = definition.denominator
    same: tuple[str, ...] = (
        "event_types",
        "aggregation",
        "value_property",
        "filters",
        "after",
        "per_event",
        "window_hours",
    )
    same += ("delay_hours", "lookback_days", "cap", "cap_percentile", "minimum_sample")
    return {
        **{name: getattr(metric, name) for name in ("name", "description", "tags", "kind", "direction", "unit")},
        **{name: getattr(definition, name) for name in same},
        "denominator_events": () if denominator is None else denominator.event_types,
        "denominator_aggregation": "" if denominator is None else denominator.aggregation,
        "quantile_percent": None if definition.quantile is None else definition.quantile * PERCENT,
    }


def _scale(aggregation: str) -> int:
    assert aggregation in get_args(Aggregation)
    return MICRO if aggregation in OF_VALUES else 1
