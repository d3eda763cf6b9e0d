"""Which moments managers and customers name when they are asked, beside what mining says of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from jobs.config.mining import Search
from jobs.domain.view import known_at
from jobs.expressions.sql import literal
from jobs.modelling.mining import MomentFound, tells
from jobs.rulelang.ruleset import RuleSet
from jobs.stages.context import RunContext
from jobs.stages.samples import at_date

CONTRACT = "questionnaires"
Asked = Literal["manager", "customer"]
Verdict = Literal["both", "named", "mined", "neither", "untold"]
"""Named and confirmed by mining; one of the two; neither; or mining cannot tell."""

LEAST_PEOPLE = 5
OTHER_WORDS = "其他 / other words"


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


@dataclass(frozen=True)
class Naming:
    """That somebody named a moment.

    Attributes:
        asked: Who was asked.
        who: Which manager, or whose subscription.
        words: What was said.
    """

    asked: Asked
    who: str
    words: str


def namings(context: RunContext, as_of: date) -> list[Naming]:
    """What managers and customers named until a date."""
    source = context.source
    if CONTRACT not in source.contracts:
        return []
    answers = context.warehouse.read_or_empty(source.contracts[CONTRACT].clean_table())
    rows = known_at(answers, at_date(context, as_of)).where(f"row_date <= {literal(as_of)}")
    who = "coalesce(CASE asked WHEN 'manager' THEN manager_id ELSE subscription_id END, answer_id) AS who"
    return [
        Naming(row["asked"], row["who"], row["moment"])
        for row in rows.selectExpr("asked", who, "moment").collect()
    ]


def tallied(
    named: Iterable[Naming], found: Mapping[str, MomentFound], rules: RuleSet, settings: Search
) -> list[Tallied]:
    """Holds what people name beside what mining found, those most often named first.

    Words that no rule is called by are told when several people used them: they may say anything.

    Args:
        named: See namings.
        found: Moments that mining looked at.
        rules: The rules, which people may call by their id or by a title.
        settings: What counts as found.
    """
    ids = {
        name.strip().casefold(): rule.id
        for rule in rules.rules
        for name in (rule.file.title.en, rule.file.title.zh, rule.id)
    }
    people: dict[str, set[tuple[Asked, str]]] = {moment: set() for moment in found}
    words: dict[str, set[tuple[Asked, str]]] = defaultdict(set)
    for one in named:
        said = one.words.strip().casefold()
        mine = people.setdefault(ids[said], set()) if said in ids else words[said]
        mine.add((one.asked, one.who))
    others: set[tuple[Asked, str]] = set()
    for said in [said for said, mine in words.items() if len(mine) < LEAST_PEOPLE]:
        others |= words.pop(said)
    rows = [
        Tallied(moment, True, _counts(mine), *_verdict(mine, found.get(moment), settings))
        for moment, mine in people.items()
    ]
    rows += [Tallied(said, False, _counts(mine), None, "untold") for said, mine in words.items()]
    if others:
        rows.append(Tallied(OTHER_WORDS, False, _counts(others), None, "untold"))
    return sorted(rows, key=lambda one: (-sum(one.named.values()), one.moment))


def _counts(people: Iterable[tuple[Asked, str]]) -> dict[Asked, int]:
    counts: dict[Asked, int] = {"manager": 0, "customer": 0}
    for asked, _ in people:
        counts[asked] += 1
    return counts


def _verdict(
    people: Collection[tuple[Asked, str]], mined: MomentFound | None, settings: Search
) -> tuple[float | None, Verdict]:
    """The lift, where enough customers tell it, and both held together."""
    if mined is None or not tells(mined.found):
        return None, "untold"
    lift = mined.found.lift
    confirmed = mined.chance <= 1 - settings.confidence and lift >= settings.least_lift
    if people:
        return lift, "both" if confirmed else "named"
    return lift, "mined" if confirmed else "neither"
