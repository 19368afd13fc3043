"""What people type when they change an experiment's state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from experiments.choices import AlertKind, DecisionOutcome, RecipientKind
from experiments.errors import Reason
from experiments.models import Arm, ExperimentMetric, Layer
from experiments.selectors import list_metrics
from experiments.services.design import ArmSpec, Design, MetricSpec

PERCENT = 100
_DIGITS = 10
"""Of a share; 33.3 % is stored as 0.333 and not as 0.33299999999999996."""
RESERVED_KEYS = frozenset(("explain", "new"))
"""Addresses of pages that stand where an experiment's key would."""
USUAL_MARGIN = 0.1
"""How much worse a guardrail may get, relative, unless the draft already says otherwise."""


def _share(percent: float) -> float:
    return round(percent / PERCENT, _DIGITS)


def _percent(share: float) -> float:
    return round(share * PERCENT, _DIGITS)


class TransitionForm(forms.Form):
    """A note for the log."""

    message = forms.CharField(
        label=_("Note for the log"),
        required=False,
        max_length=1_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Optional: whoever reads the history will thank you."),
    )


class DecisionForm(forms.Form):
    """The verdict of a person."""

    outcome = forms.ChoiceField(
        label=_("Decision"),
        widget=forms.RadioSelect,
        choices=[
            (DecisionOutcome.SHIP, _("Ship an arm: everybody eligible gets it")),
            (DecisionOutcome.STOP, _("Stop: everybody gets the default")),
            (DecisionOutcome.CONTINUE, _("Continue: keep collecting data")),
            (DecisionOutcome.UNDECIDED, _("Undecided: end without a verdict, everybody gets the default")),
        ],
    )
    arm_key = forms.ChoiceField(label=_("Arm to ship"), required=False)
    holdback_percent = forms.FloatField(
        label=_("Held back, in percent"),
        required=False,
        min_value=0,
        max_value=99,
        help_text=_("A share that keeps the default, so that the effect can be checked later. Empty: nobody."),
    )
    reason = forms.CharField(
        label=_("Why"),
        max_length=4_000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("It is kept with the decision."),
    )

    def __init__(self, *args: Any, arms: Sequence[Arm], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["arm_key"]
        assert isinstance(field, forms.ChoiceField)
        treatments = [(arm.key, arm.name) for arm in arms if not arm.is_control]
        field.choices = [("", _("Choose an arm")), *treatments]
        if len(treatments) == 1:
            field.initial = treatments[0][0]

    def decision(self) -> dict[str, Any]:
        """The arguments of `services.decision.decide`. What belongs to shipping is left out of everything else."""
        data = self.cleaned_data
        is_ship = data["outcome"] == DecisionOutcome.SHIP
        return {
            "outcome": data["outcome"],
            "reason": data["reason"],
            "arm_key": data["arm_key"] if is_ship else "",
            "holdback": _share(data["holdback_percent"] or 0.0) if is_ship else 0.0,
        }

    def add_reasons(self, reasons: Sequence[Reason]) -> None:
        """Show why the service refused."""
        for reason in reasons:
            self.add_error(None, str(reason))


class ExplainForm(forms.Form):
    """Whom to explain."""

    unit_type = forms.CharField(label=_("Kind of unit"), max_length=32, initial="profile")
    unit_id = forms.CharField(label=_("Id of the unit"), max_length=200)
    attributes = forms.JSONField(
        label=_("Attributes (JSON)"),
        required=False,
        initial=dict,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_('What the asking code knows, for example {"country": "DE", "segments": ["vip"]}.'),
    )

    def clean_attributes(self) -> dict[str, Any]:
        """An empty field is no attributes."""
        attributes = self.cleaned_data["attributes"]
        if attributes is not None and not isinstance(attributes, dict):
            raise forms.ValidationError(_("The attributes must be a JSON object."))
        return attributes or {}


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
            "mde": None if data["mde_percent"] is None else _share(data["mde_percent"]),
            "coverage": _share(data["coverage_percent"]),
            "targeting": data["targeting"],
            "layer_key": data["layer_key"],
            "layer_lower": _share(data["layer_from_percent"]),
            "layer_upper": _share(data["layer_to_percent"]),
        }
        return Design(key=data["key"], **typed) if base is None else dataclasses.replace(base, **typed)

    def add_reasons(self, reasons: Sequence[Reason]) -> None:
        """Show why the service refused."""
        for reason in reasons:
            self.add_error(None, str(reason))

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
        return ArmSpec(data["key"], data["name"], _share(data["percent"]), is_control, payload)


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
        "mde_percent": None if design.mde is None else _percent(design.mde),
        "coverage_percent": _percent(design.coverage),
        "targeting": dict(design.targeting),
        "layer_key": design.layer_key,
        "layer_from_percent": _percent(design.layer_lower),
        "layer_to_percent": _percent(design.layer_upper),
    }


def initial_arms(design: Design) -> list[dict[str, Any]]:
    """What `ArmRows` shows of a stored design, the control first."""
    arms = sorted(design.arms, key=lambda arm: not arm.is_control)
    return [{"name": arm.name, "key": arm.key, "percent": _percent(arm.weight), "payload": arm.payload} for arm in arms]


class RecipientForm(forms.Form):
    """An address that hears of alerts."""

    kind = forms.ChoiceField(label=_("Way"), choices=RecipientKind.choices)
    address = forms.CharField(
        label=_("Address"), max_length=500, help_text=_("An e-mail address, or the https address of a webhook.")
    )
    experiment = forms.CharField(
        label=_("Only of this experiment"), required=False, max_length=100, help_text=_("Its key; empty: of all.")
    )
    kinds = forms.MultipleChoiceField(
        label=_("Only these alerts"),
        required=False,
        choices=AlertKind.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: all of them."),
    )

    def values(self) -> dict[str, Any]:
        """The fields as the service names them."""
        data = self.cleaned_data
        return {
            "kind": data["kind"],
            "address": data["address"],
            "kinds": data["kinds"],
            "experiment_key": data["experiment"],
        }


class DigestForm(forms.Form):
    """Somebody without an account who may want the digest."""

    address = forms.EmailField(label=_("E-mail address"))
