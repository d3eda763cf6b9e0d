"""The console script keymoments: all jobs as commands of one program."""

from __future__ import annotations

from jobs import (
    build_view,
    check_project,
    dispatch_alerts,
    effects,
    erase,
    export_alerts,
    health,
    identify_moments,
    ingest,
    items,
    make_province,
    measures,
    mine,
    quarantine,
    release_moment,
    risk,
    rules,
    run_cycle,
    score_risk,
    sources,
    status,
    tasks,
    try_rules,
    write_docs,
)
from jobs.stages.command import command_group

app = command_group("Finds the key moments of telecom customers and turns them into prioritised alerts.")
app.command("run")(run_cycle.main)
app.command("demo")(make_province.demo)
app.command("make-province")(make_province.main)
app.command("ingest")(ingest.main)
app.command("build-view")(build_view.main)
app.command("score-risk")(score_risk.main)
app.command("identify-moments")(identify_moments.main)
app.command("dispatch")(dispatch_alerts.main)
app.add_typer(sources.app, name="sources")
app.add_typer(quarantine.app, name="quarantine")
rules.app.add_typer(try_rules.app)
app.add_typer(rules.app, name="rules")
app.add_typer(risk.app, name="risk")
app.add_typer(health.app, name="health")
app.add_typer(items.app, name="items")
app.add_typer(check_project.contracts, name="contracts")
app.command("release")(release_moment.main)
app.command("status")(status.main)
app.command("tasks")(tasks.main)
app.command("measures")(measures.main)
app.command("mine")(mine.main)
app.command("effects")(effects.main)
app.command("export")(export_alerts.main)
app.command("erase")(erase.main)
app.command("check")(check_project.main)
app.command("docs")(write_docs.main)


def main() -> None:
    """Runs the program."""
    app()


if __name__ == "__main__":
    main()
