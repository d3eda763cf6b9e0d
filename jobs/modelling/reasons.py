"""Why a model takes a customer for one who may leave: the items that speak most for it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jobs.modelling.arrays import Floats, Ints
from jobs.modelling.features import Feature, items_of
from jobs.modelling.trees import Scorer

Words = tuple[str, str]
"""In Chinese and in English."""

UNKNOWN: Words = ("未知", "unknown")
OTHER: Words = ("其他", "other")
TRUTH: Mapping[float, Words] = {1.0: ("是", "yes"), 0.0: ("否", "no")}


@dataclass(frozen=True)
class Wording:
    """How an item is told.

    Attributes:
        zh: Its name.
        en: Its name in English.
        dimension: Dimension of health it speaks for.
        type: Its type.
        unit: Its unit, if any.
        labels: What its codes are called.
    """

    zh: str
    en: str
    dimension: str
    type: str
    unit: str | None
    labels: Mapping[str, Words]


def reasons_of(
    scorer: Scorer, wording: Mapping[str, Wording], matrix: Floats, places: Ints
) -> list[tuple[list[str], list[str]]]:
    """The reasons of each customer in Chinese and in English, the strongest first.

    Args:
        scorer: The model.
        wording: How its items are told.
        matrix: (customers, features).
        places: (customers, reasons): places in scorer.items, -1 where there is no further reason.
    """
    starts = [*items_of(scorer.features).values(), len(scorer.features)]
    found: list[tuple[list[str], list[str]]] = [([], []) for _ in range(len(matrix))]
    for rank in range(places.shape[1]):
        for place in np.unique(places[:, rank]).tolist():
            if place < 0:
                continue
            rows = np.flatnonzero(places[:, rank] == place)
            told = wording[scorer.items[place]]
            features = scorer.features[starts[place] : starts[place + 1]]
            values = matrix[rows, starts[place] : starts[place + 1]]
            for row, value in zip(rows.tolist(), values.tolist(), strict=True):
                zh, en = value_in_words(told, features, value)
                found[row][0].append(f"{told.zh}（{zh}）")
                found[row][1].append(f"{told.en} ({en})")
    return found


def value_in_words(told: Wording, features: tuple[Feature, ...], values: list[float]) -> Words:
    """The value of an item, from its features.

    Example:
        >>> plain = Wording("账单环比", "Change of the bill", "brand_tariff", "decimal", "percent", {})
        >>> value_in_words(plain, (Feature("change"),), [-35.0])
        ('-35%', '-35 %')
    """
    if any(np.isnan(value) for value in values):
        return UNKNOWN
    if told.type == "string":
        code = next((one.value for one, value in zip(features, values, strict=True) if value == 1), None)
        return OTHER if code is None else told.labels.get(code, (code, code))
    if told.type == "boolean":
        return TRUTH[values[0]]
    # A feature holds about seven digits.
    number = f"{values[0]:.2f}".rstrip("0").rstrip(".")
    number = "0" if number == "-0" else number
    return (f"{number}%", f"{number} %") if told.unit == "percent" else (number, number)
