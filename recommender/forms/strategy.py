"""The form of a strategy: a design as fields, and fields as a design."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from recommender.registry import algorithms
from recommender.services.filters import EVERY_TYPE, PURCHASE, Filters
from recommender.services.rules import EPSILON, SOFTMAX, Rules
from recommender.services.strategies import StrategyDesign
from recommender.services.words import algorithm_choices

if TYPE_CHECKING:
    from recommender.algorithms.base import Value

MICRO = 1_000_000
FALLBACKS = ("fallback_1", "fallback_2", "fallback_3")
LINES = forms.Textarea(attrs={"rows": 2})
MARKS = gettext_lazy("One to a line: category=…, brand=…, tag=… or item=…")


class StrategyForm(forms.Form):
    """One design. Name and schedule are asked for only while the strategy is new."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    description = forms.CharField(label=gettext_lazy("What it is for"), max_length=500, required=False)
    algorithm = forms.ChoiceField(label=gettext_lazy("Algorithm"))
    parameters = forms.CharField(
        label=gettext_lazy("Parameters"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=gettext_lazy("One to a line, “name = value”. Empty: the defaults."),
    )
    window_days = forms.IntegerField(
        label=gettext_lazy("Learn from the last … days"),
        min_value=1,
        max_value=3_650,
        required=False,
        help_text=gettext_lazy("Empty: all events."),
    )
    leave_out_treated = forms.BooleanField(
        label=gettext_lazy("Learn without what treated people did"),
        required=False,
        help_text=gettext_lazy("Leaves out what people in a running experiment did after they met its treatment."),
    )
    seen = forms.ChoiceField(
        label=gettext_lazy("Seen items"),
        choices=[
            (EVERY_TYPE, gettext_lazy("leave out everything seen")),
            (PURCHASE, gettext_lazy("leave out what was bought")),
            ("", gettext_lazy("may come again")),
        ],
        required=False,
    )
    bought_days = forms.IntegerField(
        label=gettext_lazy("Leave out what was bought in the last … days"), min_value=0, max_value=3_650, required=False
    )
    show_out_of_stock = forms.BooleanField(label=gettext_lazy("Show what is out of stock"), required=False)
    hide_age_restricted = forms.BooleanField(label=gettext_lazy("Never show age-restricted items"), required=False)
    categories = forms.CharField(
        label=gettext_lazy("Only these categories"),
        required=False,
        widget=LINES,
        help_text=gettext_lazy("One to a line. Empty: all."),
    )
    exclude_categories = forms.CharField(label=gettext_lazy("Not these categories"), required=False, widget=LINES)
    exclude_tags = forms.CharField(label=gettext_lazy("Not these tags"), required=False, widget=LINES)
    blocked = forms.CharField(label=gettext_lazy("Blocked items"), required=False, widget=LINES)
    price_min = forms.DecimalField(label=gettext_lazy("Price from"), min_value=0, max_value=10**9, required=False)
    price_max = forms.DecimalField(label=gettext_lazy("Price to"), min_value=0, max_value=10**9, required=False)
    max_per_category = forms.IntegerField(
        label=gettext_lazy("At most … of one category"), min_value=0, max_value=500, required=False
    )
    pinned = forms.CharField(
        label=gettext_lazy("Always first"),
        required=False,
        widget=LINES,
        help_text=gettext_lazy("Ids of items, one to a line."),
    )
    boosted = forms.CharField(label=gettext_lazy("Raise"), required=False, widget=LINES, help_text=MARKS)
    boost_percent = forms.IntegerField(label=gettext_lazy("by … %"), min_value=0, max_value=1_000, initial=50)
    buried = forms.CharField(label=gettext_lazy("Lower"), required=False, widget=LINES, help_text=MARKS)
    bury_percent = forms.IntegerField(label=gettext_lazy("by … %"), min_value=0, max_value=100, initial=50)
    promoted = forms.CharField(label=gettext_lazy("Promote"), required=False, widget=LINES, help_text=MARKS)
    promoted_percent = forms.IntegerField(
        label=gettext_lazy("… % of the places"), min_value=0, max_value=100, initial=0
    )
    damping_percent = forms.IntegerField(
        label=gettext_lazy("Play down what is popular (%)"),
        min_value=0,
        max_value=100,
        initial=0,
        help_text=gettext_lazy("30 shows much more of the range at hardly any cost."),
    )
    diversity_percent = forms.IntegerField(
        label=gettext_lazy("Variety (%)"),
        min_value=0,
        max_value=100,
        initial=0,
        help_text=gettext_lazy("How much it counts that an item is unlike those before it."),
    )
    explore = forms.ChoiceField(
        label=gettext_lazy("Try things out"),
        choices=[
            ("", gettext_lazy("no")),
            (EPSILON, gettext_lazy("on some places (ε)")),
            (SOFTMAX, gettext_lazy("everywhere, better ones more often (softmax)")),
        ],
        required=False,
        help_text=gettext_lazy("Chances are logged with each slate, so that other strategies can be judged from it."),
    )
    explore_percent = forms.IntegerField(
        label=gettext_lazy("… % of the places (softmax: temperature)"), min_value=0, max_value=100, initial=10
    )
    explore_pool = forms.IntegerField(label=gettext_lazy("among the best …"), min_value=2, max_value=500, initial=50)
    new_items = forms.IntegerField(label=gettext_lazy("and the newest … items"), min_value=0, max_value=500, initial=0)
    new_item_weight = forms.IntegerField(
        label=gettext_lazy("each … times as likely"), min_value=1, max_value=100, initial=1
    )
    fallback_1 = forms.ChoiceField(label=gettext_lazy("If that is not enough"), required=False)
    fallback_2 = forms.ChoiceField(label=gettext_lazy("then"), required=False)
    fallback_3 = forms.ChoiceField(label=gettext_lazy("then"), required=False)

    def __init__(self, *args: Any, strategies: Iterable[tuple[str, str]], is_new: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not is_new:
            del self.fields["name"], self.fields["description"]
        self._choices("algorithm", algorithm_choices())
        for name in FALLBACKS:
            self._choices(name, [("", _("the catalogue by popularity")), *strategies])

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # declared above
        field.choices = choices

    def clean_parameters(self) -> dict[str, Value]:
        """The lines as values of the kinds that the algorithm's defaults have."""
        chosen = algorithms().get(self.cleaned_data.get("algorithm", ""))
        found: dict[str, Value] = {}
        for line in _lines(self.cleaned_data["parameters"]):
            name, equals, value = (part.strip() for part in line.partition("="))
            if not equals or not name or not value:
                raise forms.ValidationError(_("“%(line)s”: write “name = value”.") % {"line": line})
            if chosen is not None:
                found[name] = _value(name, value, chosen.defaults.get(name))
        return found

    def design(self) -> StrategyDesign:
        """The design that the valid fields say."""
        data = self.cleaned_data
        own: dict[str, Any] = {name: data[name] for name in ("explore", *_NUMBERS)}
        own |= {name: _lines(data[name]) for name in _RULE_LISTS}
        return StrategyDesign(
            algorithm=data["algorithm"],
            parameters=data["parameters"],
            filters=Filters(
                seen=(data["seen"],) if data["seen"] else (),
                bought_days=data["bought_days"] or 0,
                show_out_of_stock=data["show_out_of_stock"],
                hide_age_restricted=data["hide_age_restricted"],
                price_min=_micro(data["price_min"]),
                price_max=_micro(data["price_max"]),
                max_per_category=data["max_per_category"] or 0,
                **{name: _lines(data[name]) for name in _FILTER_LISTS},
            ),
            rules=Rules(**own),
            fallbacks=tuple(dict.fromkeys(data[name] for name in FALLBACKS if data[name])),
            window_days=data["window_days"],
            leave_out_treated=data["leave_out_treated"],
        )


_FILTER_LISTS = ("categories", "exclude_categories", "exclude_tags", "blocked")
_RULE_LISTS = ("pinned", "boosted", "buried", "promoted")
_NUMBERS = (
    "boost_percent",
    "bury_percent",
    "promoted_percent",
    "damping_percent",
    "diversity_percent",
    "explore_percent",
    "explore_pool",
    "new_items",
    "new_item_weight",
)


def initial_of(design: StrategyDesign) -> dict[str, Any]:
    """A design as the fields' first values."""
    filters, rules = design.filters, design.rules
    values: dict[str, Any] = {
        "algorithm": design.algorithm,
        "parameters": "\n".join(f"{name} = {value}" for name, value in design.parameters.items()),
        "window_days": design.window_days,
        "leave_out_treated": design.leave_out_treated,
        "seen": filters.seen[0] if filters.seen else "",
        "price_min": _whole(filters.price_min),
        "price_max": _whole(filters.price_max),
        "explore": rules.explore,
    }
    for name in ("bought_days", "show_out_of_stock", "hide_age_restricted", "max_per_category"):
        values[name] = getattr(filters, name) or None
    values |= {name: "\n".join(getattr(filters, name)) for name in _FILTER_LISTS}
    values |= {name: "\n".join(getattr(rules, name)) for name in _RULE_LISTS}
    values |= {name: getattr(rules, name) for name in _NUMBERS}
    values |= dict(zip(FALLBACKS, design.fallbacks, strict=False))
    return values


def errors_of(form: StrategyForm) -> Mapping[str, list[str]]:
    """What is wrong, by the field's label: for the preview beside the form."""
    return {
        str(form.fields[name].label) if name in form.fields else "": [str(error) for error in errors]
        for name, errors in form.errors.items()
    }


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _value(name: str, text: str, default: Value | None) -> Value:
    """The text as a value of the default's kind; an unknown name stays a text and is refused by the algorithm."""
    if isinstance(default, bool):
        if text.lower() not in {"true", "false"}:
            raise forms.ValidationError(_("“%(name)s” must be true or false.") % {"name": name})
        return text.lower() == "true"
    if isinstance(default, (int, float)):
        try:
            return type(default)(text)
        except ValueError as error:
            words = {"name": name, "value": text, "default": default}
            raise forms.ValidationError(
                _("“%(name)s” must be a number like %(default)s, not “%(value)s”.") % words
            ) from error
    return text


def _micro(price: Decimal | None) -> int | None:
    return None if price is None else int(price * MICRO)


def _whole(micro: int | None) -> Decimal | None:
    return None if micro is None else Decimal(micro) / MICRO
