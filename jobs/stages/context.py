"""What every stage of a run is given: configuration, session, warehouse, run id, clock, progress."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from pyspark.sql import SparkSession

from jobs.config.dispatch import DispatchSettings, load_dispatch
from jobs.config.effects import EffectSettings, load_effects
from jobs.config.exports import ExportSettings, load_exports
from jobs.config.holidays import load_holidays
from jobs.config.load_source import load_source
from jobs.config.mining import FILE as MINING_FILE
from jobs.config.mining import MiningSettings, load_mining
from jobs.config.models import ModelSettings, load_models
from jobs.config.scores import HealthSettings, RiskSettings, load_health, load_risk
from jobs.config.service_measures import ServiceMeasures, load_service_measures
from jobs.config.settings import Keys, Settings, load_keys, load_settings
from jobs.config.sources import Source
from jobs.contracts.columns import Table
from jobs.contracts.extracts import ExtractContract, load_contracts
from jobs.contracts.released import check_released
from jobs.contracts.tables import load_tables, view_table
from jobs.contracts.view import CustomerView, load_view
from jobs.kernel.cycle import Cycle, CycleCalendar
from jobs.kernel.errors import ConfigError, Issue, KeyMomentsError, Location, did_you_mean
from jobs.kernel.project import Project
from jobs.rulelang.load import load_rules
from jobs.rulelang.ruleset import RuleSet
from jobs.storage.ledger import LedgerRow, record
from jobs.storage.session import light_session, make_session
from jobs.storage.warehouse import Warehouse

T = TypeVar("T")


@dataclass(frozen=True)
class Configuration:
    """Everything read from conf/, schemas/ and rules/, checked; needs no Spark."""

    project: Project
    profile: str
    settings: Settings
    contracts: Mapping[str, ExtractContract]
    view: CustomerView
    tables: Mapping[str, Table]
    rules: RuleSet
    dispatch: DispatchSettings
    exports: ExportSettings
    risk: RiskSettings
    health: HealthSettings
    models: ModelSettings
    effects: EffectSettings
    mining: MiningSettings
    service_measures: ServiceMeasures
    source: Source | None

    @property
    def calendar(self) -> CycleCalendar:
        """When cycles are due for the source."""
        calendar = self.settings.calendar
        snapshot = self.source.mapping.snapshot if self.source else None
        return CycleCalendar(calendar.grace_days, calendar.week_ends_on, snapshot)

    @property
    def amounts(self) -> dict[str, object]:
        """Values of the amounts items use, with the source's own."""
        amounts: dict[str, object] = {name: one.value for name, one in self.settings.parameters.items()}
        return {**amounts, **(self.source.mapping.parameters if self.source else {})}


def configure(project: Project, profile: str = "local", source: str | None = None) -> Configuration:
    """Loads and checks all configuration.

    Args:
        project: Where it is.
        profile: conf/<profile>.yaml overlays conf/base.yaml.
        source: Path of a source mapping; rules are then checked with its parameters.

    Raises:
        ConfigError: With all problems of all files.
    """
    gather = _Gather()
    settings = gather(lambda: load_settings(project, profile))
    contracts = gather(lambda: load_contracts(project))
    tables = gather(lambda: load_tables(project))
    dispatch = gather(lambda: load_dispatch(project))
    exports = gather(lambda: load_exports(project))
    holidays = gather(lambda: load_holidays(project))
    mining = gather(lambda: load_mining(project))
    gather.stop()
    gather(lambda: check_released(project, tables.values()))
    view = gather(lambda: load_view(project, contracts, settings.parameter_types))
    mapped = gather(lambda: load_source(project.load_at(source), contracts)) if source else None
    gather.stop()
    overrides = mapped.mapping.rule_parameters if mapped else {}
    rules = gather(lambda: load_rules(project, view.types, overrides, view.labels, holidays))
    risk = gather(lambda: load_risk(project, view))
    health = gather(lambda: load_health(project, view))
    models = gather(lambda: load_models(project, view, contracts))
    effects = gather(lambda: load_effects(project, contracts))
    service_measures = gather(lambda: load_service_measures(project, view, contracts))
    if mapped is not None:
        gather.issues += _unknown_amounts(mapped, settings)
    gather.stop()
    gather.issues += _unknown_channels(rules, dispatch) + _unknown_moments(rules, dispatch)
    gather.issues += _unknown_proposals(rules, mining)
    gather.stop()
    if mapped is not None and mapped.mapping.team_daily_visits is not None:
        teams = dispatch.teams.model_copy(update={"daily_visits_default": mapped.mapping.team_daily_visits})
        dispatch = dispatch.model_copy(update={"teams": teams})
    return Configuration(
        project,
        profile,
        settings,
        contracts,
        view,
        tables,
        rules,
        dispatch,
        exports,
        risk,
        health,
        models,
        effects,
        mining,
        service_measures,
        mapped,
    )


class _Gather:
    """Runs loaders and collects their issues, so that a user sees all problems at once."""

    def __init__(self) -> None:
        self.issues: list[Issue] = []

    def __call__(self, load: Callable[[], T]) -> T:
        try:
            return load()
        except KeyMomentsError as error:
            self.issues.extend(error.issues)
            # Never used: stop() raises before anything looks at it.
            return cast("T", None)

    def stop(self) -> None:
        """Raises what has been collected."""
        if self.issues:
            raise ConfigError(self.issues)


def _unknown_amounts(source: Source, settings: Settings) -> list[Issue]:
    return [
        Issue(
            "CONF_UNKNOWN_REFERENCE",
            f"parameters: '{name}' is not an amount of conf/base.yaml"
            + did_you_mean(name, settings.parameters),
            Location(source.path),
        )
        for name in source.mapping.parameters
        if name not in settings.parameters
    ]


def _unknown_channels(rules: RuleSet, dispatch: DispatchSettings) -> list[Issue]:
    return [
        Issue(
            "RULE_UNKNOWN_REFERENCE",
            f"{name}: channel '{channel}' is not in conf/dispatch.yaml"
            f"{did_you_mean(channel, dispatch.channels)}",
            Location("rules/plans.yaml"),
        )
        for name, plan in rules.plans.items()
        for channel in plan.channels
        if channel not in dispatch.channels
    ]


def _unknown_moments(rules: RuleSet, dispatch: DispatchSettings) -> list[Issue]:
    known = [rule.id for rule in rules.rules]
    return [
        Issue(
            "CONF_UNKNOWN_REFERENCE",
            f"breaker.apart_from: there is no rule '{name}'{did_you_mean(name, known)}",
            Location("conf/dispatch.yaml"),
        )
        for name in dispatch.breaker.apart_from
        if name not in known
    ]


def _unknown_proposals(rules: RuleSet, mining: MiningSettings) -> list[Issue]:
    named = {
        "plan": (mining.proposals.plan, rules.plans),
        "audience": (mining.proposals.audience, rules.audiences),
    }
    return [
        Issue(
            "CONF_UNKNOWN_REFERENCE",
            f"proposals.{what}: there is no '{name}'{did_you_mean(name, known)}",
            Location(MINING_FILE),
        )
        for what, (name, known) in named.items()
        if name not in known
    ]


def open_run(
    configuration: Configuration,
    warehouse: str,
    extracts: str | None = None,
    progress: Callable[[str], None] = lambda message: None,
    max_bad_share: float | None = None,
) -> RunContext:
    """Starts Spark and opens the warehouse.

    Raises:
        ConfigError: When no key of pseudonyms may be used.
    """
    keys = load_keys(configuration.settings, configuration.profile)
    settings = configuration.settings
    spark = make_session(settings.spark, settings.time_zone, configuration.project.root, "keymoments")
    path = warehouse if "://" in warehouse else str(Path(warehouse).resolve())
    return RunContext(
        configuration,
        spark,
        Warehouse(spark, path),
        keys,
        extracts,
        progress=progress,
        max_bad_share=max_bad_share,
    )


@dataclass
class RunContext:
    """A run: its configuration, its session and warehouse, and where it reports to."""

    configuration: Configuration
    spark: SparkSession
    warehouse: Warehouse
    keys: Keys
    extracts: str | None = None
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    progress: Callable[[str], None] = field(default=lambda message: None)
    max_bad_share: float | None = None
    # Dates of dispatch that the run is for: none of them may be out of place before the first file is loaded.
    dates: tuple[date, ...] = ()
    deliveries: list[dict[str, Any]] | None = None
    built_views: dict[tuple[date, date], tuple[str, int]] = field(default_factory=dict)
    _log_rows: list[LedgerRow] = field(default_factory=list, repr=False)

    @property
    def source(self) -> Source:
        """The source mapping of the run.

        Raises:
            ConfigError: When the run was started without one.
        """
        if self.configuration.source is None:
            raise ConfigError(Issue("CONF_MISSING_FILE", "this run needs a source mapping; give --source"))
        return self.configuration.source

    @cached_property
    def light(self) -> SparkSession:
        """A session that shares all but its settings, and compiles no code for what it runs."""
        return light_session(self.spark)

    def table(self, name: str) -> Table:
        """The schema of a table we write."""
        return self.configuration.tables[name]

    @cached_property
    def view_table(self) -> Table:
        """The schema of the customer view."""
        return view_table(self.configuration.view)

    def log(self, row: LedgerRow) -> None:
        """Keeps a row for the run ledger; see flush_log."""
        self._log_rows.append(row)

    def log_cycle(
        self,
        stage: str,
        cycle: Cycle,
        started: datetime,
        result: str,
        rows_out: int | None = None,
        fingerprint: str | None = None,
        message: str | None = None,
        inputs: Mapping[str, object] | None = None,
    ) -> None:
        """Keeps a row for the run ledger of a stage that worked on a cycle and ends now."""
        self.log(
            LedgerRow(
                stage=stage,
                result=result,
                started_at=started,
                finished_at=self.clock(),
                source=self.source.name,
                cycle=str(cycle.kind),
                as_of=cycle.as_of,
                dispatch_date=cycle.dispatch_date,
                rows_out=rows_out,
                inputs=inputs or {},
                fingerprint=fingerprint,
                message=message,
            )
        )

    def flush_log(self) -> None:
        """Appends the kept rows to the run ledger, in one commit."""
        if self._log_rows:
            record(self.warehouse, self.table("run_ledger"), self.run_id, self._log_rows)
            self._log_rows = []
