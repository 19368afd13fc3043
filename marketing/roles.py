"""Who may do what: the groups of the back office, as data. Everybody who signs in belongs to at least one."""

from __future__ import annotations

from typing import Final

VIEW: Final = (
    "marketing.view_campaign",
    "marketing.view_segment",
    "marketing.view_profile",
    "experiments.view_experiment",
    "recommender.view_strategy",
)
EDIT_CAMPAIGNS: Final = (
    "marketing.add_campaign",
    "marketing.change_campaign",
    "marketing.add_segment",
    "marketing.change_segment",
    "marketing.add_creative",
    "marketing.change_creative",
    "marketing.view_creative",
    "marketing.change_sender",
)
EDIT_EXPERIMENTS: Final = (
    "experiments.add_experiment",
    "experiments.change_experiment",
    "experiments.change_recipient",
    "marketing.add_traitdefinition",
)
CONNECT: Final = (
    "marketing.view_source",
    "marketing.add_source",
    "marketing.view_writekey",
    "marketing.add_writekey",
    "marketing.change_writekey",
    "marketing.change_profile",
    "marketing.add_traitdefinition",
    "recommender.change_item",
)

ROLES: Final[dict[str, tuple[str, ...]]] = {
    "marketer": (*VIEW, *EDIT_CAMPAIGNS, "marketing.launch_campaign", "recommender.change_strategy"),
    "approver": (
        *VIEW,
        "marketing.launch_campaign",
        "experiments.launch_experiment",
        "experiments.decide_experiment",
    ),
    "analyst": (*VIEW, *EDIT_EXPERIMENTS, "experiments.launch_experiment", "recommender.change_strategy"),
    "operator": (
        *VIEW,
        *CONNECT,
        "experiments.launch_experiment",
        "experiments.change_recipient",
        "recommender.train_strategy",
        "marketing.view_deadletter",
        "marketing.change_deadletter",
        "marketing.view_job",
        "marketing.change_sender",
        "marketing.view_suppression",
        "marketing.delete_suppression",
        "marketing.add_frequencycap",
        "marketing.change_frequencycap",
        "marketing.delete_frequencycap",
        "marketing.view_frequencycap",
        "marketing.view_channelstate",
        "marketing.change_reviewpolicy",
    ),
}
