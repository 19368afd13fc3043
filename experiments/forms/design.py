"""The draft of an experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from experiments.choices import ExperimentStatus
from experiments.errors import Reason
from experiments.forms.percent import to_percent, to_share
from experiments.forms.traffic import RampField, ramp_text
from experiments.models import Arm, ExperimentMetric, Layer
from experiments.selectors import list_metrics
from experiments.services.design import ArmSpec, Design, MetricSpec, Requirement

RESERVED_KEYS = frozenset(("explain", "new"))
"""Addresses of pages that stand where an experiment's key would."""
USUAL_MARGIN = 0.1
"""How much worse a guardrail may get, relative, unless the draft already says otherwise."""


class ExperimentForm(forms.Form):
    """The frame of an experiment; the rows of its arms are `ArmRows`."""

    name = forms.CharField(label=_("Name"), max_length=200)
    key = forms.SlugField(
        label=_("Key"), max_length=100, help_text=_("What code and links call it: letters, digits, - and _. It stays.")
    )
    hypothesis = forms.CharField(
        label=_("Hypothesis"),
        required=False,
        max_length=4_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("What you expect, and why. It is kept beside what came out."),
    )
    unit_type = forms.CharField(
        label=_("What is randomized"), max_length=32, initial="profile", help_text=_("Usually: profile.")
    )
    primary_metric = forms.ChoiceField(
        label=_("Primary metric"), required=False, help_text=_("The one number that decides.")
    )
    guardrails = forms.MultipleChoiceField(
        label=_("Guardrails"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("What must not get worse by more than a tenth."),
    )
    planned_size = forms.IntegerField(
        label=_("Planned size"), required=False, min_value=1, help_text=_("Units over all arms.")
    )
    planned_days = forms.IntegerField(label=_("Planned days"), required=False, min_value=1, max_value=3_650)
    mde_percent = forms.FloatField(
        label=_("Smallest lift worth finding (%)"),
        required=False,
        min_value=0.01,
        max_value=1_000,
        help_text=_("Relative: 5 % → 6 % is a lift of 20 %."),
    )
    coverage_percent = forms.FloatField(label=_("Covered traffic (%)"), min_value=0, max_value=100, initial=100)
    ramp = RampField(
        label=_("Ramp"),
        required=False,
        help_text=_("Steps after the start: hours and percent, for example 24: 25, 72: 100. Raising moves nobody."),
    )
    requires = forms.ChoiceField(
        label=_("Only people in"), required=False, help_text=_("An arm of another experiment that must serve them.")
    )
    targeting = forms.JSONField(
        label=_("Targeting rule (JSON)"),
        required=False,
        initial=dict,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_('{} is everyone; for example {"attribute": "country", "op": "eq", "value": "DE"}.'),
    )
    layer_key = forms.ChoiceField(
        label=_("Layer"), required=False, help_text=_("Experiments of one layer share no units.")
    )
    layer_from_percent = forms.FloatField(label=_("From (%)"), min_value=0, max_value=100, initial=0)
    layer_to_percent = forms.FloatField(label=_("To (%)"), min_value=0, max_value=100, initial=100)

    def __init__(self, *args: Any, is_new: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        metrics = [(metric.key, metric.name) for metric in list_metrics()]
        self._choose("primary_metric", [("", _("Choose a metric")), *metrics])
        self._choose("guardrails", metrics)
        layers = Layer.objects.order_by("name", "key").values_list("key", "name")
        self._choose("layer_key", [("", _("None")), *layers])
        arms = Arm.objects.exclude(experiment__status=ExperimentStatus.ARCHIVED).select_related("experiment")
        options = [
            (f"{arm.experiment.key}:{arm.key}", f"{arm.experiment.name} · {arm.name}")
            for arm in arms.order_by("experiment__name", "experiment__key", "position")
        ]
        self._choose("requires", [("", _("Everybody")), *options])
        if not is_new:
            del self.fields["key"]

    def clean_key(self) -> str:
        """Refuse a key whose page could not be reached."""
        key: str = self.cleaned_data["key"]
        if key in RESERVED_KEYS:
            raise forms.ValidationError(_("This key is the address of another page."))
        return key

    def clean_targeting(self) -> dict[str, Any]:
        """An empty field is everyone; the service reads the rule itself."""
        rule = self.cleaned_data["targeting"]
        if rule is not None and not isinstance(rule, dict):
            raise forms.ValidationError(_("The rule must be a JSON object."))
        return rule or {}

    def design(self, *, arms: tuple[ArmSpec, ...], base: Design | None) -> Design:
        """The design that was typed; what the form does not ask stays as in `base`."""
        data = self.cleaned_data
        typed: dict[str, Any] = {
            "name": data["name"],
            "hypothesis": data["hypothesis"],
            "unit_type": data["unit_type"],
            "arms": arms,
            "metrics": self._metrics(base),
            "planned_size": data["planned_size"],
            "planned_days": data["planned_days"],
            "mde": None if data["mde_percent"] is None else to_share(data["mde_percent"]),
            "coverage": to_share(data["coverage_percent"]),
            "ramp": data["ramp"],
            "requires": self._requires(base),
            "targeting": data["targeting"],
            "layer_key": data["layer_key"],
            "layer_lower": to_share(data["layer_from_percent"]),
            "layer_upper": to_share(data["layer_to_percent"]),
        }
        return Design(key=data["key"], **typed) if base is None else dataclasses.replace(base, **typed)

    def add_reasons(self, reasons: Sequence[Reason]) -> None:
        """Show why the service refused."""
        for reason in reasons:
            self.add_error(None, str(reason))

    def _requires(self, base: Design | None) -> tuple[Requirement, ...]:
        """The chosen requirement; further ones, which only code can set, stay."""
        key, _colon, arm_key = self.cleaned_data["requires"].partition(":")
        chosen = (Requirement(key, arm_key),) if key else ()
        return chosen + (() if base is None else base.requires[1:])

    def _metrics(self, base: Design | None) -> tuple[MetricSpec, ...]:
        primary, guardrails = self.cleaned_data["primary_metric"], self.cleaned_data["guardrails"]
        known = {} if base is None else {(spec.key, spec.role): spec for spec in base.metrics}
        role = ExperimentMetric.Role
        wanted = [MetricSpec(primary, role.PRIMARY.value)] if primary else []
        wanted += [MetricSpec(key, role.GUARDRAIL.value, USUAL_MARGIN) for key in guardrails if key != primary]
        secondary = [
            spec
            for spec in (() if base is None else base.metrics)
            if spec.role == role.SECONDARY and spec.key not in {primary, *guardrails}
        ]
        return (*(known.get((spec.key, spec.role), spec) for spec in wanted), *secondary)

    def _choose(self, name: str, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


class ArmForm(forms.Form):
    """One arm."""

    name = forms.CharField(label=_("Name of the arm"), max_length=200)
    key = forms.SlugField(label=_("Key"), max_length=64)
    percent = forms.FloatField(label=_("Share (%)"), min_value=0, max_value=100)
    payload = forms.JSONField(
        label=_("Payload (JSON)"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("What your code gets when it asks for this arm."),
    )

    def spec(self, *, is_control: bool) -> ArmSpec:
        """The arm that was typed."""
        data = self.cleaned_data
        payload = {} if data["payload"] is None else data["payload"]
        return ArmSpec(data["key"], data["name"], to_share(data["percent"]), is_control, payload)


if TYPE_CHECKING:
    _Rows = forms.BaseFormSet[ArmForm]
else:
    _Rows = forms.BaseFormSet


class BaseArmRows(_Rows):
    """The rows; the first one is the control."""

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        """Check every row: Django would let a row pass that was added and left as it is."""
        return {**super().get_form_kwargs(index), "empty_permitted": False}

    def specs(self) -> tuple[ArmSpec, ...]:
        """The arms that are left."""
        kept = [form for form in self.forms if not form.cleaned_data.get("DELETE")]
        return tuple(form.spec(is_control=position == 0) for position, form in enumerate(kept))


MOST_ARMS = 50
ROWS_PREFIX = "arms"
_ArmRows = forms.formset_factory(
    ArmForm, formset=BaseArmRows, extra=0, can_delete=True, max_num=MOST_ARMS, absolute_max=MOST_ARMS
)


def arm_rows(*, data: QueryDict | None = None, initial: Sequence[Mapping[str, Any]] = ()) -> BaseArmRows:
    """The rows of arms, typed or to begin with."""
    rows = _ArmRows(data, prefix=ROWS_PREFIX, initial=initial)
    assert isinstance(rows, BaseArmRows)
    return rows


FIRST_ARMS = (
    {"name": "Control", "key": "control", "percent": 50, "payload": {}},
    {"name": "Treatment", "key": "treatment", "percent": 50, "payload": {}},
)


def initial_frame(design: Design) -> dict[str, Any]:
    """What `ExperimentForm` shows of a stored design."""
    role = ExperimentMetric.Role
    return {
        "name": design.name,
        "hypothesis": design.hypothesis,
        "unit_type": design.unit_type,
        "primary_metric": next((spec.key for spec in design.metrics if spec.role == role.PRIMARY), ""),
        "guardrails": [spec.key for spec in design.metrics if spec.role == role.GUARDRAIL],
        "planned_size": design.planned_size,
        "planned_days": design.planned_days,
        "mde_percent": None if design.mde is None else to_percent(design.mde),
        "coverage_percent": to_percent(design.coverage),
        "ramp": ramp_text(design.ramp),
        "requires": "".join(f"{item.experiment_key}:{item.arm_key}" for item in design.requires[:1]),
        "targeting": dict(design.targeting),
        "layer_key": design.layer_key,
        "layer_from_percent": to_percent(design.layer_lower),
        "layer_to_percent": to_percent(design.layer_upper),
    }


def initial_arms(design: Design) -> list[dict[str, Any]]:
    """What `ArmRows` shows of a stored design, the control first."""
    arms = sorted(design.arms, key=lambda arm: not arm.is_control)
    return [
        {"name": arm.name, "key": arm.key, "percent": to_percent(arm.weight), "payload": arm.payload} for arm in arms
    ]
