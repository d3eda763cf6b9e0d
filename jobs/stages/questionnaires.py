"""Which moments managers and customers name when they are asked, beside what mining says of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pyspark.sql import functions as F

from jobs.domain.view import known_at
from jobs.expressions.sql import literal
from jobs.modelling.mining import MomentFound
from jobs.rulelang.ruleset import RuleSet
from jobs.stages.context import RunContext
from jobs.stages.samples import at_date

CONTRACT = "questionnaires"
Asked = Literal["manager", "customer"]
Verdict = Literal["both", "named", "mined", "neither", "untold"]
"""Named and confirmed by mining; one of the two; neither; or named, and mining cannot tell."""


@dataclass(frozen=True)
class Tallied:
    """A moment, what people say of it, and what mining does.

    Attributes:
        moment: A rule's id, or the words people used where no rule is called so.
        is_rule: Whether there is such a rule.
        named: By who was asked, how many named it.
        lift: How many times as often as all its customers are lost; None where that cannot be told.
        verdict: Both held together.
    """

    moment: str
    is_rule: bool
    named: Mapping[Asked, int]
    lift: float | None
    verdict: Verdict


def namings(context: RunContext, as_of: date) -> dict[tuple[str, Asked], int]:
    """How many managers and customers named a moment until a date, by the words they used."""
    source = context.source
    if CONTRACT not in source.contracts:
        return {}
    rows = known_at(
        context.warehouse.read_or_empty(source.contracts[CONTRACT].clean_table()), at_date(context, as_of)
    )
    who = F.coalesce("manager_id", "subscription_id", "answer_id")
    until = rows.where(f"row_date <= {literal(as_of)}")
    counts = until.groupBy("moment", "asked").agg(F.count_distinct(who).alias("people")).collect()
    return {(row["moment"], row["asked"]): row["people"] for row in counts}


def tallied(
    named: Mapping[tuple[str, Asked], int],
    found: Mapping[str, MomentFound],
    rules: RuleSet,
    confidence: float,
) -> list[Tallied]:
    """Holds what people name beside what mining found, those most often named first.

    Args:
        named: See namings.
        found: Moments that mining looked at.
        rules: The rules, which people may call by their id or by a title.
        confidence: With which chance is ruled out.
    """
    ids = {
        name.strip().casefold(): rule.id
        for rule in rules.rules
        for name in (rule.file.title.en, rule.file.title.zh, rule.id)
    }
    people: dict[tuple[str, bool], dict[Asked, int]] = defaultdict(lambda: {"manager": 0, "customer": 0})
    for (words, asked), count in named.items():
        rule = ids.get(words.strip().casefold())
        people[rule or words.strip(), rule is not None][asked] += count
    for moment in found:
        people[moment, True].setdefault("manager", 0)
    rows = []
    for (moment, is_rule), counts in people.items():
        mined = found.get(moment) if is_rule else None
        is_named, verdict = any(counts.values()), "untold"
        if mined is not None:
            confirmed = mined.chance <= 1 - confidence
            verdict = {
                (True, True): "both",
                (True, False): "named",
                (False, True): "mined",
                (False, False): "neither",
            }[is_named, confirmed]
        lift = None if mined is None else mined.found.lift
        rows.append(Tallied(moment, is_rule, counts, lift, verdict))  # type: ignore[arg-type]
    return sorted(rows, key=lambda one: (-sum(one.named.values()), one.moment))
