"""Static pages of tables and plots, which need nothing else to be shown, and their figures as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import jinja2
import vl_convert

_PAGE = jinja2.Template(
    """<!doctype html>
<html lang="zh"><head><meta charset="utf-8"><title>{{ title }}</title><style>
body {font: 15px/1.5 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em}
table {border-collapse: collapse; margin: 1em 0} td, th {padding: .3em .7em; border-bottom: 1px solid #ccc}
td + td {text-align: right} caption {text-align: left; font-weight: bold}
</style></head><body>
<h1>{{ title }}</h1>
{% for line in about %}<p>{{ line }}</p>
{% endfor %}
{% for caption, heads, rows in tables %}
<table><caption>{{ caption }}</caption>
<tr>{% for head in heads %}<th>{{ head }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% endfor %}
{% for caption, plot in plots %}<h2>{{ caption }}</h2>{{ plot | safe }}{% endfor %}
</body></html>
""",
    autoescape=True,
)


def render(
    title: str,
    about: Sequence[str],
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]],
    plots: Sequence[tuple[str, str]],
) -> str:
    """A page as HTML.

    Args:
        title: What it is about.
        about: Paragraphs below the title.
        tables: Caption, heads and rows of each.
        plots: Caption and SVG of each.
    """
    return str(_PAGE.render(title=title, about=about, tables=tables, plots=plots))


def svg(chart: alt.Chart | alt.LayerChart | alt.FacetChart) -> str:
    """A plot as SVG."""
    return str(vl_convert.vegalite_to_svg(chart.to_json()))


def without_nan(value: Any) -> Any:
    """Plain data, without numbers that JSON lacks: they are null.

    Example:
        >>> without_nan({"auc": float("nan"), "by": [1.0]})
        {'auc': None, 'by': [1.0]}
    """
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
