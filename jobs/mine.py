"""Job: finds which customers are lost more often than others, and proposes moments; changes no rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as Grid

from jobs.kernel.cycle import parse_date
from jobs.stages import command as c
from jobs.stages.mining import mine_moments, proposals
from jobs.stages.mining_page import VERDICTS, as_data, page, percent
from jobs.stages.questionnaires import namings, tallied


def main(
    source: c.SourceOption,
    as_of: c.LastOption,
    model: c.ModelOption = "churn",
    out: Annotated[Path, typer.Option("--out", help="Folder for the page, its figures and drafts.")] = Path(
        "reports"
    ),
    warehouse: c.WarehouseOption = "data/warehouse",
    project_dir: c.ProjectOption = None,
    profile: c.ProfileOption = "local",
) -> None:
    """Mine moments: kinds of customers that are lost more often than others, and drafts of rules for them."""
    with c.user_errors():
        day = parse_date(as_of)
        c.folder_for(out)
    with c.running(source, warehouse, project_dir, profile, check=c.knows_model(model)) as context:
        found = mine_moments(context, model, day)
        configuration = context.configuration
        moments = {one.moment: one for one in found.mined.moments}
        named = tallied(namings(context, day), moments, configuration.rules, configuration.mining.search)
        target = out / f"{context.source.name}-{model}-{day}-moments"
        drafts = proposals(found, configuration)
        (target / "rules").mkdir(parents=True, exist_ok=True)
        # Those of an earlier run may be of other customers.
        for old in (target / "rules").glob("mined_*.yaml"):
            old.unlink()
        for name, text in drafts.items():
            (target / "rules" / f"{name}.yaml").write_text(text, encoding="utf-8")
        html = page(found, named, configuration)
        (target / "index.html").write_text(html, encoding="utf-8")
        data = json.dumps(as_data(found, named), ensure_ascii=False, indent=2, sort_keys=True)
        (target / "mined.json").write_text(data + "\n", encoding="utf-8")
    grid = Grid(title=f"{found.title.zh} / {found.title.en}", title_justify="left")
    for head in ("when", "", "share", "lost", "expected", "lift", "chance"):
        grid.add_column(head, overflow="fold")
    for one in found.mined.kinds:
        judged = one.judged
        cells = (*map(percent, (judged.share, judged.rate, judged.rate_expected)), f"{judged.lift:.2f}")
        grid.add_row(one.text, VERDICTS[one.verdict], *cells, f"{one.chance:.2g}")
    c.report_console().print(grid)
    print(
        f"{found.customers:,} cases (customers of {len(found.bases)} dates), {found.lost:,} lost; "
        f"page: {target}/index.html"
    )
    print(
        f"{len(drafts)} drafts of rules in {target}/rules; "
        "copy what makes sense to rules/moments and go on from there"
    )
