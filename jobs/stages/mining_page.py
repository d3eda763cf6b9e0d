"""What was mined as one static page with plots, and as data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import altair as alt
import pandas as pd

from jobs.modelling.mining import ItemFound, Kind, tells
from jobs.modelling.tally import Tally
from jobs.stages.context import Configuration
from jobs.stages.evaluation_page import number
from jobs.stages.mining import Mining, nearest_moment, said
from jobs.stages.questionnaires import Tallied
from jobs.stages.static_page import render, svg, without_nan

MOST_ITEMS = 40
MOST_ALIKE = 3
VERDICTS = {
    "confirmed": "证实 / confirmed",
    "weak": "偏弱 / too weak",
    "chance": "可能偶然 / may be chance",
}
TALLIED = {
    "both": "提及且证实 / named and confirmed",
    "named": "仅提及 / named only",
    "mined": "仅数据证实 / confirmed only",
    "neither": "均无 / neither",
    "untold": "提及，数据无法判断 / named, mining cannot tell",
}
_TALLY_HEADS = ["占比 / share", "流失率 / lost", "预期 / expected", "提升度 / lift (95 %)"]


def page(found: Mining, named: Sequence[Tallied], configuration: Configuration) -> str:
    """The page as HTML that needs nothing else."""
    bases = ", ".join(map(str, found.bases))
    about = [
        f"{found.title.zh} / {found.title.en}: {found.lost:,} of {found.customers:,} cases, a customer at a "
        f"date ({found.lost / found.customers:.1%}); dates {bases}.",
        f"用一半客户搜索（{found.mined.tried:,} 个条件），用另一半客户检验；表中数字均为后者。"
        f" / {found.mined.tried:,} conditions were tried on half of the customers; "
        "figures are of the other half.",
    ]
    kinds = [_kind_row(one, found, configuration) for one in found.mined.kinds]
    moments = [[one.moment, *_tally_cells(one.found), f"{one.chance:.2g}"] for one in found.mined.moments]
    heads = ["客户 / customers", "结论 / verdict", *_TALLY_HEADS, "偶然 / chance", "稳定 / stable",
             "已有时刻 / known moment", "此外提升度 / lift beyond", "相近 / alike"]  # fmt: skip
    tables = [
        ("值得提出的时刻 / kinds of customers", heads, kinds),
        (
            "单项 / items",
            ["", "IV (偶然 / by chance)", "已知 / known", "条件 / condition", *_TALLY_HEADS],
            [_item_row(one, configuration) for one in found.mined.items[:MOST_ITEMS]],
        ),
        (
            "已有时刻，全部客户 / moments that are known, all customers",
            ["", *_TALLY_HEADS, "偶然 / chance"],
            moments,
        ),
        (
            "问卷与数据 / questionnaires and mining",
            ["", "经理提及 / by managers", "客户提及 / by customers", "提升度 / lift", ""],
            [_tallied_row(one) for one in named],
        ),
    ]
    if found.untold:
        about.append(f"无法判断的规则 / rules that cannot be told: {', '.join(found.untold)}.")
    title = f"{found.title.zh} / {found.title.en}: mined as of {found.as_of}"
    return render(title, about, tables, list(_plots(found, configuration)))


def _tally_cells(one: Tally) -> list[str]:
    return [*map(percent, (one.share, one.rate, one.rate_expected)), number(one.interval)]


def percent(share: float) -> str:
    """A share as people read it.

    Example:
        >>> percent(0.125), percent(float("nan"))
        ('12.5%', '-')
    """
    return "-" if math.isnan(share) else f"{share:.1%}"


def words(one: Kind, configuration: Configuration) -> str:
    """The conditions of a kind in both languages."""
    zh = "、".join(said(condition, configuration, "zh") for condition in one.conditions)
    en = "; ".join(said(condition, configuration, "en") for condition in one.conditions)
    return f"{zh} / {en}"


def _kind_row(one: Kind, found: Mining, configuration: Configuration) -> list[str]:
    nearest = nearest_moment(one.moments)
    return [
        f"{words(one, configuration)} ({one.text})",
        VERDICTS[one.verdict],
        *_tally_cells(one.judged),
        f"{one.chance:.2g}",
        "-" if one.stable is None else f"{one.stable:.0%}",
        "-" if nearest is None else f"{nearest[0]} {nearest[1]:.0%}",
        number(one.beyond.interval) if tells(one.beyond) else "-",
        "; ".join(one.alike[:MOST_ALIKE]) + ("; ..." if len(one.alike) > MOST_ALIKE else ""),
    ]


def _item_row(one: ItemFound, configuration: Configuration) -> list[str]:
    item = configuration.view.items[one.item]
    cells = ["-"] * len(_TALLY_HEADS) if one.judged is None else _tally_cells(one.judged)
    return [
        f"{item.zh} / {item.en} ({one.item})",
        f"{one.information:.3f} ({one.noise:.3f})",
        f"{one.known:.0%}",
        "-" if one.condition is None else one.condition.text,
        *cells,
    ]


def _tallied_row(one: Tallied) -> list[str]:
    lift = "-" if one.lift is None else f"{one.lift:.2f}"
    verdict = TALLIED[one.verdict] if one.is_rule else "没有此时刻 / no such moment"
    return [one.moment, f"{one.named['manager']:,}", f"{one.named['customer']:,}", lift, verdict]


def _plots(found: Mining, configuration: Configuration) -> Iterator[tuple[str, str]]:
    if found.mined.kinds:
        yield "提升度 / Lift", _lifts(found)
        if cells := list(_cells(found)):
            yield "按日期和地市 / By date and city", _heat(cells)
    yield "信息值 / Information value", _information(found, configuration)


def _lifts(found: Mining) -> str:
    rows = [
        {
            "kind": one.text,
            "lift": one.judged.lift,
            "low": one.judged.interval.low,
            "high": one.judged.interval.high,
            "verdict": VERDICTS[one.verdict],
        }
        for one in found.mined.kinds
    ]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("kind:N", title=None, sort=None, axis=alt.Axis(labelLimit=420))
    )
    points = base.mark_point(filled=True).encode(
        x=alt.X("lift:Q", title="lift"), color=alt.Color("verdict:N", title=None)
    )
    spans = base.mark_rule().encode(x="low:Q", x2="high:Q", color=alt.Color("verdict:N", title=None))
    one = alt.Chart(pd.DataFrame({"lift": [1.0]})).mark_rule(strokeDash=[4, 4], color="#bbb")
    return svg(alt.layer(one.encode(x="lift:Q"), spans, points).properties(width=420))


def _cells(found: Mining) -> Iterator[dict[str, Any]]:
    for one in found.mined.kinds:
        by_date = [(str(found.bases[place]), it) for place, it in one.by_date.items()]
        for where, it in (*by_date, *one.by_city.items()):
            if tells(it):
                yield {"kind": one.text, "where": where, "lift": it.lift}


def _heat(cells: Sequence[dict[str, Any]]) -> str:
    scale = alt.Scale(scheme="redblue", domainMid=1, reverse=True)
    chart = alt.Chart(pd.DataFrame(list(cells))).mark_rect()
    encoded = chart.encode(
        x=alt.X("where:N", title=None, sort=None),
        y=alt.Y("kind:N", title=None, sort=None, axis=alt.Axis(labelLimit=420)),
        color=alt.Color("lift:Q", scale=scale),
    )
    return svg(encoded)


def _information(found: Mining, configuration: Configuration) -> str:
    items = configuration.view.items
    rows = [
        {"item": f"{items[one.item].zh} / {items[one.item].en}", "information value": one.information}
        for one in found.mined.items[:MOST_ITEMS]
    ]
    chart = alt.Chart(pd.DataFrame(rows)).mark_bar()
    encoded = chart.encode(
        x="information value:Q",
        y=alt.Y("item:N", title=None, sort=None, axis=alt.Axis(labelLimit=420)),
    )
    return svg(encoded.properties(width=420))


def as_data(found: Mining, named: Sequence[Tallied]) -> dict[str, Any]:
    """What was mined as plain data, without numbers that JSON lacks."""
    mined = found.mined
    plain: dict[str, Any] = {
        "model": found.model,
        "as_of": str(found.as_of),
        "bases": [str(base) for base in found.bases],
        "customers": found.customers,
        "lost": found.lost,
        "tried": mined.tried,
        "kinds": [
            {
                "when": one.text,
                "verdict": one.verdict,
                "chance": one.chance,
                "stable": one.stable,
                "searched": _told(one.searched),
                "judged": _told(one.judged),
                "beyond": _told(one.beyond),
                "by_date": {str(found.bases[place]): _told(it) for place, it in one.by_date.items()},
                "by_city": {city: _told(it) for city, it in one.by_city.items() if tells(it)},
                "moments": dict(one.moments),
                "alike": list(one.alike),
            }
            for one in mined.kinds
        ],
        "items": [
            {
                "item": one.item,
                "known": one.known,
                "information": one.information,
                "noise": one.noise,
                "condition": None if one.condition is None else one.condition.text,
                "judged": None if one.judged is None else _told(one.judged),
            }
            for one in mined.items
        ],
        "moments": [
            {"moment": one.moment, "found": _told(one.found), "chance": one.chance} for one in mined.moments
        ],
        "untold": list(found.untold),
        "questionnaires": [asdict(one) for one in named],
    }
    cleaned: dict[str, Any] = without_nan(plain)
    return cleaned


def _told(one: Tally) -> dict[str, float]:
    interval = one.interval
    derived = {"share": one.share, "rate": one.rate, "rate_expected": one.rate_expected, "lift": one.lift}
    return {**asdict(one), **derived, "lift_low": interval.low, "lift_high": interval.high}
