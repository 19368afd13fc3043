"""What people type when they change an experiment's state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from experiments.choices import DecisionOutcome
from experiments.errors import Reason
from experiments.forms.percent import to_share
from experiments.models import Arm


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
            "holdback": to_share(data["holdback_percent"] or 0.0) if is_ship else 0.0,
        }

    def add_reasons(self, reasons: Sequence[Reason]) -> None:
        """Show why the service refused."""
        for reason in reasons:
            self.add_error(None, str(reason))
