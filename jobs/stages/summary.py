"""The short readable summary at the end of a run."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid

from jobs.expressions.sql import literal
from jobs.stages.command import report_console
from jobs.stages.context import RunContext
from jobs.stages.delivery_ledger import known_deliveries

TOP = 10
STATUSES = ("dispatched", "overflow", "suppressed", "control", "held")


def print_summary(context: RunContext, dispatch_date: date) -> None:
    """Prints rows by source, alerts by moment and status, the top alerts, and where everything is."""
    console = report_console()
    alerts = context.warehouse.read(context.table("alerts")).where(
        f"dispatch_date = {literal(dispatch_date)}"
    )
    console.print()
    console.print(_sources(context))
    console.print(_moments(context, alerts, dispatch_date))
    _suppressed(alerts, console)
    console.print(_top(alerts, dispatch_date))
    _not_supplied(context, dispatch_date, console)
    _where(context, dispatch_date, console)


def _sources(context: RunContext) -> Grid:
    grid = Grid(title="Rows by source / 各来源行数", title_justify="left")
    for name in ("contract", "files", "until", "read", "loaded", "quarantined", "duplicates"):
        grid.add_column(name, justify="left" if name == "contract" else "right")
    rows = [row for row in known_deliveries(context) if row["status"] == "active"]
    for contract in sorted({row["contract"] for row in rows}):
        mine = [row for row in rows if row["contract"] == contract]
        sums = [sum(row[f"rows_{n}"] for row in mine) for n in ("read", "loaded", "quarantined", "duplicate")]
        title = context.source.contracts[contract].zh
        # A delivery without rows reaches no day.
        until = max((row["covers_to"] for row in mine if row["covers_to"]), default="")
        counts = (f"{count:,}" for count in sums)
        grid.add_row(f"{contract} {title}", str(len(mine)), str(until), *counts)
    if any(row["rows_quarantined"] for row in rows):
        where = f"keymoments quarantine list --warehouse {context.warehouse.path}"
        grid.caption = f"refused rows, with file and line / 查看隔离行: {where}"
    return grid


def _moments(context: RunContext, alerts: DataFrame, dispatch_date: date) -> Grid:
    grid = Grid(title=f"Alerts of {dispatch_date} by moment and status / 各时刻告警", title_justify="left")
    grid.add_column("moment")
    grid.add_column("cycle")
    counted = alerts.groupBy("moment_id", "dispatch_cycle", "status").count().collect()
    used = [status for status in STATUSES if any(row["status"] == status for row in counted)]
    for name in ("alerts", "share", *used):
        grid.add_column(name, justify="right")
    total = sum(row["count"] for row in counted) or 1
    rules = {rule.id: rule for rule in context.configuration.rules.rules}
    by_moment: dict[tuple[str, str], dict[str, int]] = {}
    for row in counted:
        by_moment.setdefault((row["moment_id"], row["dispatch_cycle"]), {})[row["status"]] = row["count"]
    for (moment, cycle), counts in sorted(
        by_moment.items(), key=lambda pair: (-sum(pair[1].values()), pair[0])
    ):
        size = sum(counts.values())
        title = f"{rules[moment].file.title.zh} {moment}" if moment in rules else moment
        cells = [f"{counts.get(status, 0):,}" for status in used]
        grid.add_row(title, cycle, f"{size:,}", f"{100 * size / total:.1f} %", *cells)
    sums = [sum(counts.get(status, 0) for counts in by_moment.values()) for status in used]
    grid.add_section()
    grid.add_row("all / 合计", "", f"{sum(sums):,}", "100.0 %" if sums else "", *(f"{n:,}" for n in sums))
    if sums:
        grid.add_row("per cent / 占比", "", "", "", *(f"{100 * n / total:.1f} %" for n in sums))
    return grid


def _suppressed(alerts: DataFrame, console: Console) -> None:
    counted = alerts.where("status = 'suppressed'").groupBy("status_reason").count().collect()
    if counted:
        reasons = sorted((row["status_reason"], row["count"]) for row in counted)
        console.print("suppressed / 已抑制: " + ", ".join(f"{reason} {count}" for reason, count in reasons))


def _top(alerts: DataFrame, dispatch_date: date) -> Grid:
    grid = Grid(
        title=f"The {TOP} visits at the top of {dispatch_date} / 优先级最高的服务", title_justify="left"
    )
    for name in ("rank", "city", "manager", "customer", "moment", "priority", "why"):
        grid.add_column(name, overflow="fold")
    lead = alerts.where("visit_lead AND status = 'dispatched'").orderBy(F.col("rank_province").asc())
    rows = lead.limit(TOP).collect()
    for row in rows:
        factors = " x ".join(
            f"{one['name']} {one['factor']:.2f}{'*' if one['neutral'] else ''}"
            for one in row["priority_factors"]
        )
        why = f"{row['description_zh']}\n{row['description_en']}\n{factors}"
        if row["risk_reasons_zh"]:
            why += f"\n风险: {row['risk_reasons_zh'][0]}\nRisk: {row['risk_reasons_en'][0]}"
        grid.add_row(
            str(row["rank_province"]),
            row["city"] or "",
            (row["served_by"] or "").removeprefix("manager:"),
            row["customer_id"] or row["subscription_id"],
            f"{row['title_zh']}\n{row['moment_id']}",
            f"{row['priority']:.4f}",
            why,
        )
    if any(one["neutral"] for row in rows for one in row["priority_factors"]):
        grid.caption = "* neutral value: the factor is not known for this customer / 因子未知，取中性值"
    return grid


def _not_supplied(context: RunContext, dispatch_date: date, console: Console) -> None:
    due = context.configuration.calendar.due(dispatch_date)
    pairs = " OR ".join(f"(cycle = '{c.kind}' AND as_of = {literal(c.as_of)})" for c in due)
    rows = (
        context.warehouse.read(context.table("rule_evaluations")).where(pairs).orderBy("moment_id").collect()
    )
    lacking = [row for row in rows if row["result"] == "not_supplied"]
    if lacking:
        console.print("Not supplied by this source / 来源未提供，未执行:", style="bold")
        for row in lacking:
            console.print(f"  {row['moment_id']}: lacks {', '.join(row['not_supplied'])}")
    undecided = [row for row in rows if row["unknown_count"] and not row["true_count"]]
    if undecided:
        console.print("True for nobody, unknown for some / 无人满足，部分未知:", style="bold")
        for row in undecided:
            console.print(f"  {row['moment_id']}: unknown for {row['unknown_count']:,}")
    nobody = [row["moment_id"] for row in rows if row["true_count"] == 0 and not row["unknown_count"]]
    if nobody:
        console.print("True for nobody / 无人满足: " + ", ".join(nobody))
    partly = [row for row in rows if row["left_out"]]
    if partly:
        console.print("Decided without some conditions / 部分条件来源未提供:", style="bold")
        for row in partly:
            console.print(f"  {row['moment_id']}: without {', '.join(row['left_out'])}")


def _python() -> str:
    """This interpreter, which has the readers, as short as it can be written here."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _where(context: RunContext, dispatch_date: date, console: Console) -> None:
    path = context.warehouse.location(context.table("alerts"))
    console.print()
    console.print(f"Tables / 数据表: {context.warehouse.path}", soft_wrap=True)
    console.print("Query the alerts / 查询告警:", style="bold")
    console.print(
        f"  {_python()} -c \"import polars as pl; print(pl.read_delta('{path}')"
        f".filter(pl.col('dispatch_date') == pl.date({dispatch_date.year}, {dispatch_date.month}, "
        f"{dispatch_date.day}), pl.col('visit_lead'), pl.col('status') == 'dispatched').sort('rank_province')"
        ".select('rank_province', 'city', 'customer_id', 'title_zh', 'description_zh').head(10))\"",
        soft_wrap=True,
        markup=False,
    )
