"""conf/effects.yaml: mistakes are told at their places; and what small groups allow to say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from projectcopy import ProjectCopy

from jobs.config.effects import load_effects
from jobs.contracts.extracts import load_contracts
from jobs.modelling.effects import Effect, Sample, means, shares, verdict

Issues = Callable[[Callable[[], object]], list[str]]
FILE = "conf/effects.yaml"


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("contract: churn_labels", "contract: churn_label", "contract: churn_label",
         "CONF_UNKNOWN_REFERENCE 'churn_label' is not a contract of events (did you mean 'churn_labels'?)"),
        ("of: total,", "of: totl,", "of: totl",
         "EXPR_UNKNOWN_NAME 'totl' is not a field of bills (did you mean 'total'?)"),
        ("of: total,", "of: month,", "of: month", "EXPR_TYPE is date, not integer or decimal"),
        ("contract: bills", "contract: balances", "contract: balances",
         "CONF_UNKNOWN_REFERENCE 'balances' is not a contract of events or months of subscriptions (did you mean 'allowances'?)"),
        ("zero_after_days: 7", "zero_after_days: 1", "timing:",
         "YAML_BAD_VALUE 'timing': zero_after_days must lie after full_within_days"),
        ("outcomes: [no_need]", "outcomes: [noneed]", "outcomes: [noneed]",
         "CONF_UNKNOWN_REFERENCE there is no 'noneed' (did you mean 'no_need'?); known: solved, improved, follow_up, no_need, not_solved"),
    ],
)  # fmt: skip
def test_one_mistake_is_found_at_its_place(
    project_copy: ProjectCopy, issues_of: Issues, old: str, new: str, at: str, message: str
) -> None:
    project_copy.replace(FILE, old, new)
    project = project_copy.project
    found = issues_of(lambda: load_effects(project, load_contracts(project)))
    assert found == [f"{project_copy.place(FILE, at)} {message}"]


def test_nobody_and_everybody_give_no_false_certainty() -> None:
    nothing = shares(Sample(40, 0, 0), Sample(35, 0, 0), 0.95, 0.8)
    assert nothing.difference == 0 and nothing.lower < 0 < nothing.upper and nothing.p_value == 1
    assert verdict(nothing, 1.0, "less", 0.95) == "no_difference_seen"
    alike = means(Sample(40, 80, 160), Sample(35, 70, 140), 0.95, 0.8)
    assert (alike.difference, alike.p_value) == (0, 1)


@pytest.mark.parametrize(
    ("difference", "rate", "better", "said"),
    [(-0.1, 0.01, "less", "helps"), (0.1, 0.01, "less", "harms"), (0.1, 0.01, "more", "helps"),
     (-0.1, 0.01, "more", "harms"), (-0.1, 0.06, "less", "no_difference_seen")],
)  # fmt: skip
def test_which_way_is_better_decides_what_is_said(
    difference: float, rate: float, better: str, said: str
) -> None:
    effect = Effect(0.2 + difference, 0.2, difference, difference - 0.05, difference + 0.05, rate, 0.05)
    assert verdict(effect, rate, better, 0.95) == said  # type: ignore[arg-type]
