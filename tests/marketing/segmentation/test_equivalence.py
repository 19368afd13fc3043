"""The SQL of a rule and its reading in plain Python agree, person by person, whatever the rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from marketing.forms.rules import builder_of, rule_of
from marketing.models import Profile
from marketing.segmentation.clock import to_micros
from marketing.segmentation.evaluate import matches
from marketing.selectors.segments import load_person, matching_ids, read_rule, vocabulary
from tests.examples import examples
from tests.factories.marketing import NOW
from tests.factories.rules import PEOPLE, RULES, make_world

RULES_N = examples(90, full=250)


@pytest.mark.django_db
@pytest.mark.thorough
@pytest.mark.no_cover
@pytest.mark.parametrize("seed", [1, 2])
def test_sql_and_python__random_rules_over_random_people__agree(seed: int) -> None:
    make_world(seed)
    words = vocabulary()
    people = {
        pk: load_person(profile_id=pk, words=words) for pk in Profile.objects.living().values_list("pk", flat=True)
    }
    seen = {"somebody": 0, "nobody": 0, "some": 0, "shown": 0}

    @settings(
        max_examples=RULES_N,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(root=RULES)
    def check(root: Any) -> None:
        rule = {"schema": 1, "root": root}
        node = read_rule(rule, words)
        by_python = {
            pk for pk, person in people.items() if matches(node, person, traits=words.traits, at=to_micros(NOW))
        }
        by_sql = set(matching_ids(rule=rule, at=NOW))
        opposite = set(matching_ids(rule={"schema": 1, "root": {"not": root}}, at=NOW))
        assert by_sql == by_python
        builder = builder_of(rule)
        if builder is not None:
            shown = rule_of(builder, words)
            assert shown is not None
            node = read_rule(shown, words)
            assert by_sql == {
                pk for pk, one in people.items() if matches(node, one, traits=words.traits, at=to_micros(NOW))
            }
            seen["shown"] += 1
        assert opposite == people.keys() - by_sql
        seen["somebody" if by_sql == people.keys() else "some" if by_sql else "nobody"] += 1

    check()
    assert len(people) == PEOPLE - 1
    assert seen["shown"] > 0.2 * RULES_N  # the builder opens and saves a rule without changing its meaning
    assert seen["some"] > 0.4 * RULES_N  # most rules must tell people apart, or the comparison proves nothing


@pytest.mark.parametrize(
    "root",
    [
        {"not": {"all": [{"all": []}]}},
        {"not": {"all": [{"all": [{"all": []}]}]}},
        {"all": [{"not": {"all": [{"not": {"any": []}}]}}]},
    ],
)
def test_builder__negation_of_nothing_but_empty_groups__is_not_shown(root: dict[str, Any]) -> None:
    """Saving leaves empty groups out, and the negation around them with them: nobody became everybody."""
    assert builder_of({"schema": 1, "root": root}) is None
