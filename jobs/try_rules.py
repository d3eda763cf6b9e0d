"""Job: tries rules on the views of past dates before anybody is called; changes no table."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.table import Table as Grid

from jobs.kernel.cycle import parse_date
from jobs.kernel.errors import ConfigError, Issue
from jobs.kernel.project import RULES, Project
from jobs.stages import command as c
from jobs.stages.backtest import Backtest, Difference, Outcome, differences, simulated
from jobs.stages.context import Configuration, configure
from jobs.stages.plan import dates_due
from jobs.stages.tuning import Curve, chosen_parameter, curve_of

JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
FromOption = Annotated[str, typer.Option("--from", help="First date of dispatch, YYYY-MM-DD.")]
ToOption = Annotated[str, typer.Option("--to", help="Last date of dispatch.")]
RulesOption = Annotated[
    str | None,
    typer.Option("--rules", help="Other rules: a folder, or a revision of git; the project's by default."),
]
WhichArgument = Annotated[str, typer.Argument(help="A folder of rules, or a revision of git.")]
ByCityOption = Annotated[bool, typer.Option("--by-city", help="Also the moments by city.")]
STATUSES = ("dispatched", "overflow", "suppressed", "control", "held")

app = c.command_group("Try rules on past dates.")


@app.command("backtest")
def backtest_rules(
    source: c.SourceOption,
    first: FromOption,
    last: ToOption,
    rules: Annotated[list[str] | None, typer.Argument(help="Rules to show; all by default.")] = None,
    other: RulesOption = None,
    warehouse: c.WarehouseOption = "data/warehouse",
    by_city: ByCityOption = False,
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Tell what rules would have sent on past dates, and what came of it; changes no table."""
    with c.user_errors(), ExitStack() as stack:
        project = Project.find(project_dir)
        tried = stack.enter_context(rules_at(project, other))
        configuration = configure(replace(project, rules=tried), profile, source)
        configuration.rules.check_known(rules or ())
        dates = dates_due(configuration.calendar, parse_date(first), parse_date(last))
        found = stack.enter_context(simulated(c.trying(configuration, warehouse), dates)).figures()
    chosen = {name: one for name, one in found.moments.items() if not rules or name in rules}
    found = replace(found, moments=chosen)
    print(_backtest_json(found)) if as_json else _print_backtest(found, configuration, by_city)


@app.command("diff")
def diff_rules(
    old: WhichArgument,
    source: c.SourceOption,
    first: FromOption,
    last: ToOption,
    new: Annotated[str | None, typer.Argument(help="The same; the project's rules by default.")] = None,
    warehouse: c.WarehouseOption = "data/warehouse",
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Compare whom two sets of rules would have served on past dates; changes no table."""
    with c.user_errors(), ExitStack() as stack:
        project = Project.find(project_dir)
        both = [
            configure(replace(project, rules=stack.enter_context(rules_at(project, one))), profile, source)
            for one in (old, new)
        ]
        dates = dates_due(both[0].calendar, parse_date(first), parse_date(last))
        context = c.trying(both[0], warehouse)
        before, after = (
            stack.enter_context(simulated(replace(context, configuration=one), dates)) for one in both
        )
        moments, sent = differences(before, after, sent=False), differences(before, after, sent=True)
        loads = (before.figures(), after.figures())
    if as_json:
        told = {
            "dates": [str(day) for day in dates],
            "moments": {name: asdict(one) for name, one in moments.items()},
            "dispatched": {name: asdict(one) for name, one in sent.items()},
            "calls": {str(day): [one.calls[day] for one in loads] for day in dates},
            "waiting": {str(day): [one.waiting[day] for one in loads] for day in dates},
            "held": [str(day) for one in loads for day in one.held],
        }
        print(json.dumps(told, ensure_ascii=False, indent=2))
        return
    _print_difference(moments, sent, loads)


@app.command("tune")
def tune_rule(
    rule: Annotated[str, typer.Argument(help="A rule.")],
    source: c.SourceOption,
    target_rate: Annotated[
        str, typer.Option("--target-rate", help="Share of the audience that is to meet the rule, such as 2%.")
    ],
    parameter: Annotated[
        str | None, typer.Option("--parameter", help="Which parameter; may be left out where there is one.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="A date with a view, YYYY-MM-DD; the newest by default.")
    ] = None,
    warehouse: c.WarehouseOption = "data/warehouse",
    as_json: JsonOption = False,
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Show how many would meet a rule at each value of a parameter, and the value for a rate, by city."""
    with c.user_errors():
        target = _rate(target_rate)
        day = None if as_of is None else parse_date(as_of)
        configuration = configure(Project.find(project_dir), profile, source)
        name = chosen_parameter(configuration.rules, rule, parameter)
        curve = curve_of(c.trying(configuration, warehouse), rule, name, day)
    if as_json:
        told = {
            **asdict(curve),
            "suggested": {city or None: curve.suggested(target, city) for city in curve.cities},
        }
        print(json.dumps(told, ensure_ascii=False, indent=2, default=str))
        return
    _print_curve(curve, target)


def _rate(text: str) -> float:
    try:
        rate = Decimal(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ArithmeticError:
        rate = Decimal(0)
    if not rate.is_finite() or not 0 < rate < 1:
        raise typer.BadParameter(f"'{text}' is not a share such as 2% or 0.02", param_hint="--target-rate")
    return float(rate)


def _print_curve(curve: Curve, target: float) -> None:
    console = c.report_console()
    unit = f" ({curve.unit})" if curve.unit else ""
    title = f"{curve.rule} of {curve.as_of} by {curve.parameter}{unit} / 阈值曲线"
    grid = Grid(title=title, title_justify="left")
    for name in (curve.parameter, "meet the rule", "of the audience"):
        grid.add_column(name, justify="right")
    suggested = curve.suggested(target, "")
    for value in curve.shown(suggested):
        mark = " default" if value == curve.default else " suggested" if value == suggested else ""
        count = curve.met[""][curve.values.index(value)]
        grid.add_row(f"{value}{mark}", f"{count:,}", f"{100 * curve.rate(value, ''):.2f} %")
    console.print(grid)
    cities = Grid(title=f"For {100 * target:g} % of the audience / 建议阈值", title_justify="left")
    for name in ("city", "audience", "now", "rate now", "suggested", "rate then"):
        cities.add_column(name, justify="left" if name == "city" else "right")
    for city in curve.cities:
        now, then = curve.now(city), curve.suggested(target, city)
        told = ("-", "-") if then is None else (str(then), f"{100 * curve.rate(then, city):.2f} %")
        rate = curve.rate(now, city) if city else curve.rate_now
        in_use = str(now) if city or not curve.by_city else f"{now}, or the city's"
        cities.add_row(
            city or "all / 全省", f"{curve.audience[city]:,}", in_use, f"{100 * rate:.2f} %", *told
        )
    console.print(cities)


@contextmanager
def rules_at(project: Project, which: str | None) -> Iterator[Path | None]:
    """A folder of rules that a user named: as it is, or as it was at a revision of git.

    Raises:
        ConfigError: When it is neither.
    """
    if which is None or Path(which).is_dir():
        yield None if which is None else Path(which)
        return
    command = ["git", "-C", str(project.root), "archive", "--format=tar", which, RULES]
    try:
        # A leading dash would be read as an option.
        done = None if which.startswith("-") else subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        done = None
    if done is None or done.returncode != 0:
        message = f"'{which}' is neither a folder nor a revision of git that has {RULES}/"
        raise ConfigError(Issue("CONF_MISSING_FILE", message))
    with TemporaryDirectory(prefix="keymoments-rules-") as folder:
        with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder) / RULES


def _backtest_json(found: Backtest) -> str:
    def shares(one: Outcome) -> dict[str, float | int | None]:
        return {**asdict(one), "share": one.share, "lift": one.lift}

    told = {
        "dates": [str(day) for day in found.dates],
        "moments": {
            name: {**asdict(one), "outcomes": {key: shares(value) for key, value in one.outcomes.items()}}
            for name, one in found.moments.items()
        },
        "not_supplied": found.not_supplied,
        "calls": {str(day): count for day, count in found.calls.items()},
        "waiting": {str(day): count for day, count in found.waiting.items()},
        "held": [str(day) for day in found.held],
        "untold": found.untold,
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def _print_backtest(found: Backtest, configuration: Configuration, by_city: bool) -> None:
    console = c.report_console()
    told = [
        name
        for name in configuration.models.models
        if any(name in m.outcomes for m in found.moments.values())
    ]
    dates = f"{found.dates[0]} to {found.dates[-1]}"
    grid = Grid(title=f"What the rules would have given, {dates} / 规则回测", title_justify="left")
    grid.add_column("moment", overflow="fold")
    idle: list[str] = []
    used = [one for one in STATUSES if any(one in m.by_status for m in found.moments.values())]
    for name in ("cycles", "moments", *used, "calls", *(f"{name} after" for name in told)):
        grid.add_column(name, justify="right")
    for one in found.moments.values():
        if not one.evaluated:
            if one.moment_id not in found.not_supplied:
                status = configuration.rules.by_id(one.moment_id).file.status
                idle.append(f"{one.moment_id} ({status})")
            continue
        title = configuration.rules.by_id(one.moment_id).file.title.zh
        after = [_after(one.outcomes.get(name)) for name in told]
        counts = [f"{one.by_status.get(status, 0):,}" for status in used]
        row = (
            f"{title} {one.moment_id}",
            str(one.evaluated),
            f"{one.fired:,}",
            *counts,
            f"{one.calls:,}",
            *after,
        )
        grid.add_row(*row)
    console.print(grid)
    if idle:
        console.print(f"not evaluated on these dates / 未执行: {', '.join(idle)}")
    for name in told:
        model = configuration.models.models[name]
        console.print(f"{name} after: within {model.days} days, and times the share of all active customers")
    for name, why in found.untold.items():
        console.print(f"{name} after: cannot be told, {why}")
    for day in found.dates:
        held = "; moments were held, they count as held" if day in found.held else ""
        console.print(f"{day}: {found.calls[day]:,} visits, {found.waiting[day]:,} found no capacity{held}")
    for name, items in found.not_supplied.items():
        console.print(f"not supplied by this source / 来源未提供: {name} lacks {', '.join(items)}")
    if by_city:
        for one in found.moments.values():
            cities = sorted(one.by_city.items(), key=lambda pair: (-pair[1], pair[0]))
            if cities:
                text = ", ".join(f"{city or '-'} {count:,}" for city, count in cities)
                console.print(f"{one.moment_id}: {text}")


def _after(one: Outcome | None) -> str:
    if one is None:
        return "-"
    lift = "" if one.lift is None else f" ({one.lift:.1f} x)"
    return f"{one.hits:,} of {one.cases:,}, {100 * one.share:.1f} %{lift}"


def _print_difference(
    moments: dict[str, Difference], sent: dict[str, Difference], loads: Sequence[Backtest]
) -> None:
    console = c.report_console()
    before, after = loads
    grid = Grid(title="Subscriptions by moment, old and new rules / 规则对比", title_justify="left")
    for name in ("moment", "kept", "gained", "lost", "served: kept", "gained", "lost", "for example"):
        grid.add_column(name, justify="left" if name in ("moment", "for example") else "right")
    none = Difference(0, 0, 0, None, None)
    same = 0
    for name in sorted(moments.keys() | sent.keys()):
        one, served = moments.get(name, none), sent.get(name, none)
        if not (one.gained or one.lost or served.gained or served.lost):
            same += 1
            continue
        some = [f"+{one.one_gained}" if one.one_gained else "", f"-{one.one_lost}" if one.one_lost else ""]
        numbers = (one.kept, one.gained, one.lost, served.kept, served.gained, served.lost)
        grid.add_row(name, *(f"{number:,}" for number in numbers), " ".join(filter(None, some)))
    if grid.row_count:
        console.print(grid)
    console.print(f"{same} moments are the same for everybody / 无变化的时刻")
    for day in before.dates:
        calls, waiting = (f"{one[day]:,}" for one in (before.calls, before.waiting))
        now, wait = after.calls[day], after.waiting[day]
        console.print(f"{day}: visits {calls} -> {now:,}, without capacity {waiting} -> {wait:,}")
