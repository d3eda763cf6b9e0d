"""An evaluation as one static page with plots, and as data."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import altair as alt
import pandas as pd

from jobs.contracts.view import CustomerView
from jobs.modelling.evaluation import FIGURES, RIVALS, Judged
from jobs.modelling.metrics import Interval
from jobs.stages.evaluation import Evaluation
from jobs.stages.static_page import render, svg, without_nan

TOP = 20
RIVAL_TITLES = {
    "random": "随机 / random",
    "spend": "只看消费 / spend only",
    "formula": "公式 / formula",
    "evidence": "WoE + 逻辑回归 / WoE + logistic regression",
    "model": "模型 / model",
}
FIGURE_TITLES = {
    "auc": "AUC",
    "pr_auc": "PR-AUC",
    "lift": "最高十分位提升度 / top-decile lift",
    "precision": "触达精确率 / precision in reach",
    "recall": "触达召回率 / recall in reach",
    "calibration_error": "校准误差 / calibration error",
    "profit": "期望最大利润 / expected maximum profit",
}
POPULATION_TITLES = {
    "all": "全部在网用户 / all active customers",
    "active_value": "中高价值用户 / active customers of middle and high value",
}


def number(one: Interval) -> str:
    """A figure with its interval.

    Example:
        >>> number(Interval(0.6871, 0.68, 0.694)), number(Interval(1.2, math.nan, math.nan))
        ('0.687 (0.680-0.694)', '1.200')
    """
    if math.isnan(one.value):
        return "-"
    around = "" if math.isnan(one.low) else f" ({one.low:.3f}-{one.high:.3f})"
    return f"{one.value:.3f}{around}"


def figure_table(judged: Judged, population: str) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of figures of a population; 95 % intervals in brackets."""
    figures = judged.figures[population]
    rivals = [rival for rival in RIVALS if rival in figures]
    heads = ["", *(FIGURE_TITLES[name] for name in FIGURES)]
    rows = [
        [
            RIVAL_TITLES[rival],
            *(number(figures[rival][name]) if name in figures[rival] else "-" for name in FIGURES),
        ]
        for rival in rivals
    ]
    return heads, rows


def page(found: Evaluation, zh: str, en: str, view: CustomerView) -> str:
    """The page as HTML that needs nothing else."""
    judged = found.judged
    way = (
        "按日期 / by dates: learned before, judged after"
        if judged.scheme == "dates"
        else "按用户分折 / by folds of customers"
    )
    bases = ", ".join(map(str, found.bases))
    about = (
        f"{judged.customers:,} customers judged, {judged.positive:,} positive "
        f"({judged.positive / judged.customers:.1%}); base dates {bases}; {way}."
    )
    tables = [
        (POPULATION_TITLES[population], *figure_table(judged, population)) for population in judged.figures
    ]
    months = [
        [str(found.bases[place]), RIVAL_TITLES[rival], f"{one['auc']:.3f}", f"{one['lift']:.2f}"]
        for place, rivals in judged.by_base.items()
        for rival, one in rivals.items()
    ]
    tables.append(("按月稳定性 / stability over months", ["base", "", "AUC", "lift"], months))
    drivers = [
        [f"{view.items[item].zh} / {view.items[item].en}", f"{weight:.4f}"]
        for item, weight in list(judged.drivers.items())[:TOP]
    ]
    caption = "最重要的指标 / items that matter most (mean distance from zero in log-odds)"
    tables.append((caption, ["", "log-odds"], drivers))
    plots = [("可靠性 / Reliability", _reliability(judged))]
    if len(judged.by_base) > 1:
        plots.append(("AUC 按月 / by month", _by_month(found)))
    title = f"{zh} / {en}: evaluation as of {found.as_of}"
    return render(title, [about], tables, plots)


def _reliability(judged: Judged) -> str:
    rows = pd.DataFrame(
        [
            {"told": told, "was": was, "rival": RIVAL_TITLES[rival]}
            for rival, runs in judged.reliability.items()
            for told, was, _ in runs
        ]
    )
    most = float(rows[["told", "was"]].max().max())
    line = alt.Chart(pd.DataFrame({"told": [0.0, most], "was": [0.0, most]}))
    diagonal = line.mark_line(color="#bbb", strokeDash=[4, 4]).encode(x="told:Q", y="was:Q")
    points = (
        alt.Chart(rows)
        .mark_line(point=True)
        .encode(
            x=alt.X("told:Q", title="mean probability told"),
            y=alt.Y("was:Q", title="share that came to pass"),
            color=alt.Color("rival:N", title=None),
        )
    )
    return svg(alt.layer(diagonal, points).properties(width=480, height=360))


def _by_month(found: Evaluation) -> str:
    rows = pd.DataFrame(
        [
            {"base": str(found.bases[place]), "auc": one["auc"], "rival": RIVAL_TITLES[rival]}
            for place, rivals in found.judged.by_base.items()
            for rival, one in rivals.items()
        ]
    )
    chart = alt.Chart(rows).mark_line(point=True)
    scale = alt.Scale(zero=False)
    encoded = chart.encode(x="base:O", y=alt.Y("auc:Q", scale=scale), color=alt.Color("rival:N", title=None))
    return svg(encoded.properties(width=480, height=300))


def as_data(found: Evaluation) -> dict[str, Any]:
    """The evaluation as plain data, without numbers that JSON lacks."""
    plain = asdict(found)
    plain["bases"] = [str(base) for base in found.bases]
    plain["as_of"] = str(found.as_of)
    judged = plain["judged"]
    judged["by_base"] = {str(found.bases[place]): one for place, one in judged["by_base"].items()}
    cleaned: dict[str, Any] = without_nan(plain)
    return cleaned
