"""Models on the province: what they learn from, that they are repeatable, and when they are trusted."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
import xgboost
import yaml
from pyspark.sql import functions as F
from typer.testing import CliRunner

from jobs.cli import app
from jobs.kernel.cycle import CycleKind
from jobs.kernel.errors import CycleError
from jobs.kernel.project import Project
from jobs.modelling.features import directions
from jobs.modelling.trees import train
from jobs.stages.apply_model import apply_model
from jobs.stages.context import RunContext, configure, open_run
from jobs.stages.evaluation import compare, evaluate
from jobs.stages.evaluation_page import as_data, page
from jobs.stages.ingest import ingest
from jobs.stages.mining import mine_moments, proposals
from jobs.stages.mining_page import as_data as mined_data
from jobs.stages.mining_page import page as mining_page
from jobs.stages.questionnaires import tallied
from jobs.stages.registry import find, in_use, promote, rollback, usable
from jobs.stages.samples import at_date, matrix_of, samples_of
from jobs.stages.scores import write_scores
from jobs.stages.service_measures import measure_month
from jobs.stages.snapshot import supply_at
from jobs.stages.training import train_model
from jobs.stages.view import view_of, write_view
from jobs.synthetic import make_province

pytestmark = [pytest.mark.spark, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
AS_OF, BASE = date(2026, 5, 31), date(2026, 4, 30)
FEW = {"least_cases": 5}


# What models of churn and complaints look at; the other extracts would only take time.
CONTRACTS = {
    "customers", "accounts", "subscriptions", "tariff_plans", "number_segments", "bills", "usage_monthly",
    "voice_usage", "data_usage", "complaints", "service_contacts", "churn_labels",
}  # fmt: skip


@dataclass
class Lab:
    """The tables of a province of its own that models may change, and who says what.

    Attributes:
        folder: The province, its mapping and its warehouse.
        context: A run.
        said: What runs made by with_models say.
        first: The scores by the formula, before any model.
    """

    folder: Path
    context: RunContext
    said: list[str]
    first: pl.DataFrame

    @property
    def where(self) -> list[str]:
        """Options of commands."""
        return ["--source", str(self.folder / "source.yaml"), "--warehouse", str(self.folder / "warehouse")]

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_delta(str(self.folder / "warehouse" / name))

    def scores(self) -> pl.DataFrame:
        return self.table("risk_scores").filter(pl.col("as_of") == AS_OF).sort("subscription_id")

    def with_models(self, **changes: dict[str, object]) -> RunContext:
        """Another run in which parts of conf/models.yaml are set otherwise."""
        models = self.context.configuration.models
        parts = {name: getattr(models, name).model_copy(update=values) for name, values in changes.items()}
        changed = replace(self.context.configuration, models=models.model_copy(update=parts))
        return open_run(changed, str(self.folder / "warehouse"), progress=self.said.append)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("models")
    make_province(folder, 1_000, 7)
    mapping = yaml.safe_load((ROOT / "conf" / "sources" / "synthetic.yaml").read_text(encoding="utf-8"))
    mapping["extracts"] = [one for one in mapping["extracts"] if one["contract"] in CONTRACTS]
    assert {one["contract"] for one in mapping["extracts"]} == CONTRACTS
    source = folder / "source.yaml"
    source.write_text(yaml.safe_dump(mapping, allow_unicode=True), encoding="utf-8")
    configuration = configure(Project(ROOT), "local", str(source))
    training = configuration.models.training
    parameters = training.parameters.model_copy(update={"n_estimators": 20, "min_child_weight": 1.0})
    training = training.model_copy(update={**FEW, "parameters": parameters})
    models = configuration.models.model_copy(update={"training": training})
    warehouse, extracts = str(folder / "warehouse"), str(folder / "extracts")
    context = open_run(replace(configuration, models=models), warehouse, extracts)
    ingest(context)
    now = at_date(context, AS_OF)
    write_view(context, now)
    write_scores(context, now)
    made = Lab(folder, context, [], pl.DataFrame())
    return replace(made, first=made.scores())


@pytest.fixture(scope="module")
def trained(lab: Lab) -> str:
    return train_model(lab.context, "churn", AS_OF).model_id


def use_model(lab: Lab, model_id: str) -> None:
    """Puts a model in use, unless it is."""
    if in_use(lab.context, "churn") != model_id:
        promote(lab.context, model_id, "test", "to see")


def _leavers(lab: Lab, after: str, until: str) -> dict[str, set[str]]:
    """Who left within a time, by kind, from the extracts."""
    left: dict[str, set[str]] = {"left": set(), "disconnected": set()}
    for path in (lab.folder / "extracts").glob("churn_labels_*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if after < row["churned_on"] <= until:
                    left[row["kind"]].add(row["subscription_id"])
    return left


def test_a_customer_is_positive_who_left_by_choice_within_the_days(lab: Lab) -> None:
    """Base, window and who is set apart, counted from the extracts."""
    left = _leavers(lab, "2026-04-30", "2026-05-30")
    view = lab.table("customer_view").filter(pl.col("as_of") == BASE)
    active = set(view.filter(pl.col("subscription_status") == "active")["subscription_id"])
    samples = samples_of(lab.context, "churn", AS_OF)
    found = dict(zip(samples.table["subscription_id"].to_pylist(), samples.labels.tolist(), strict=True))
    assert samples.bases == (BASE,)
    assert set(found) == active - left["disconnected"]
    assert {one for one, label in found.items() if label} == (active & left["left"]) - left["disconnected"]
    assert 5 <= sum(found.values()) < 40


def test_a_loss_is_leaving_a_cheaper_plan_or_half_the_bill(lab: Lab) -> None:
    """The target from two views and the extracts; who is neither known to be lost nor to be kept is left out."""
    samples = samples_of(lab.context, "loss", AS_OF)
    found = dict(zip(samples.table["subscription_id"].to_pylist(), samples.labels.tolist(), strict=True))
    gone = _leavers(lab, "2026-04-30", "2026-05-31")
    views = lab.table("customer_view")
    end = {row["subscription_id"]: row for row in views.filter(pl.col("as_of") == AS_OF).to_dicts()}
    expected = {}
    for row in views.filter(pl.col("as_of") == BASE, subscription_status="active").to_dicts():
        one = row["subscription_id"]
        after = end.get(one, {})
        if one in gone["disconnected"] or None in (row["plan_monthly_fee"], row["bill_total_mean_3m"]):
            continue
        pairs = [
            (after.get("plan_monthly_fee"), row["plan_monthly_fee"]),
            (after.get("bill_total_1m"), row["bill_total_mean_3m"] / 2),
        ]
        hits = [one in gone["left"]]
        hits += [None if a is None or b is None else a < b for a, b in pairs]
        if any(hits):
            expected[one] = 1
        elif None not in hits:
            expected[one] = 0
    assert found == expected
    assert sum(found.values()) > len(gone["left"]) and len(found) > 800


def test_training_again_gives_the_same_bytes_whatever_the_order_and_the_files(lab: Lab, trained: str) -> None:
    bytes_before = lab.table("models").filter(pl.col("model_id") == trained)["booster"][0]
    context = lab.context
    base = at_date(context, BASE)
    rows = (
        view_of(context, base)
        .orderBy("voice_minutes_28d", "subscription_id")
        .repartition(5)
        .localCheckpoint()
    )
    where = f"as_of = DATE'{base.as_of}' AND cutoff = DATE'{base.cutoff}'"
    writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", where)
    writer.save(context.warehouse.location(context.view_table))
    assert train_model(context, "churn", AS_OF).model_id == trained
    models = lab.table("models")
    assert models["model_id"].to_list() == [trained]
    assert models["booster"][0] == bytes_before


def test_scores_are_what_the_trees_say_of_the_view(lab: Lab, trained: str) -> None:
    """Features, trees, calibration and reasons from the tables alone, by Polars and xgboost."""
    before = lab.first
    use_model(lab, trained)
    write_scores(lab.context, at_date(lab.context, AS_OF))
    rows = lab.scores()
    model = lab.table("models").filter(pl.col("model_id") == trained).to_dicts()[0]
    view = lab.table("customer_view").filter(pl.col("as_of") == AS_OF).sort("subscription_id")
    columns = [
        view[one["item"]].cast(pl.Float32).to_numpy()
        if one["value"] is None
        else (view[one["item"]] == one["value"]).cast(pl.Float32).to_numpy()
        for one in model["features"]
    ]
    matrix = np.column_stack(columns)
    trees = xgboost.Booster()
    trees.load_model(bytearray(model["booster"]))
    raw = trees.predict(xgboost.DMatrix(matrix))
    added = trees.predict(xgboost.DMatrix(matrix), pred_contribs=True)[:, :-1]
    assert rows["subscription_id"].to_list() == view["subscription_id"].to_list()
    assert rows["risk_score"].to_list() == before["risk_score"].to_list()
    assert rows["terms"].to_list() == before["terms"].to_list()
    steps = model["steps"]
    close = 0
    for place, row in enumerate(rows.to_dicts()):
        assert row["model_version"] == trained and row["fallback"] is None
        # At the edge of a step the last bits decide.
        near = {max(k for k, step in enumerate(steps) if k == 0 or step["raw"] <= raw[place] + e)
                for e in (-2e-6, 2e-6)}  # fmt: skip
        assert float(row["risk_probability"]) in {round(steps[k]["probability"], 6) for k in near}
        by_item: dict[str, float] = {}
        for feature, value in zip(model["features"], added[place], strict=True):
            by_item[feature["item"]] = by_item.get(feature["item"], 0.0) + float(value)
        best = sorted(by_item.values(), reverse=True)[:3]
        told = [float(one["log_odds"]) for one in row["drivers"]]
        assert told == pytest.approx([value for value in best if value > 5e-7], abs=2e-5)
        for one in row["drivers"]:
            assert by_item[one["item"]] == pytest.approx(float(one["log_odds"]), abs=2e-5)
        assert len(row["reasons_zh"]) == len(row["reasons_en"]) == len(row["drivers"])
        close += bool(row["drivers"])
    assert close > 500
    drift = lab.table("model_drift").filter(pl.col("as_of") == AS_OF)
    assert drift.height == len(model["features"]) + 1
    assert (drift["psi"].cast(float) >= 0).all()
    # A second time nothing is written.
    versions = lab.context.warehouse.version("risk_scores")
    write_scores(lab.context, at_date(lab.context, AS_OF))
    assert lab.context.warehouse.version("risk_scores") == versions


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"psi_stop": -1.0}, "has drifted: the stability index of its score is"),
        ({"max_age_days": -1}, "is 0 days old; -1 are the most"),
    ],
)
def test_a_model_that_is_not_to_be_trusted_gives_way_to_the_formula(
    lab: Lab, trained: str, changes: dict[str, object], reason: str
) -> None:
    use_model(lab, trained)
    context = lab.with_models(use=changes)
    write_scores(context, at_date(context, AS_OF))
    rows = lab.scores()
    assert set(rows["model_version"]) == {"formula@2026-04-30"}
    assert all(reason in text for text in rows["fallback"]) and rows.height > 900
    assert any(reason in line for line in lab.said)
    assert all(row["drivers"] is None and row["risk_score"] is not None for row in rows.to_dicts())


def test_a_date_that_is_run_again_has_the_model_it_had(lab: Lab, trained: str) -> None:
    while in_use(lab.context, "churn") is not None:
        rollback(lab.context, "churn", "test", "to begin anew")
    day = date(2026, 5, 30)
    assert usable(lab.context, "churn", day) == (None, None)
    older = train_model(lab.context, "churn", day)
    assert older.model_id != trained and older.bases == (BASE,)
    promote(lab.context, older.model_id, "test", "the first")
    promote(lab.context, trained, "test", "the second")
    for as_of, model_id in ((AS_OF, trained), (day, older.model_id)):
        found, reason = usable(lab.context, "churn", as_of)
        assert found is not None and found.model_id == model_id and reason is None
    found, reason = usable(lab.context, "churn", day - timedelta(days=1))
    assert found is None and reason == f"{trained} knows what came after 2026-05-29"
    with pytest.raises(CycleError, match="is in use already"):
        promote(lab.context, trained, "test", "once more")
    assert rollback(lab.context, "churn", "test", "back") == older.model_id
    compared = compare(lab.context, older.model_id, trained, AS_OF)
    for name, gain in compared.gain.items():
        first, second = (compared.figures[one][name] for one in (older.model_id, trained))
        assert gain.value == pytest.approx(second - first)


@pytest.mark.parametrize("what", ["row", "meaning", "bytes"])
def test_a_model_that_cannot_be_used_any_more_stops_nothing(
    lab: Lab, trained: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_model(lab, trained)
    supply = supply_at(lab.context, at_date(lab.context, AS_OF))
    if what == "meaning":
        monkeypatch.setattr("jobs.contracts.view.CustomerView.definition_fingerprint", lambda *_: "another")
        reason = f"{trained} has learned another meaning of "
    else:
        models = [] if what == "row" else [replace(find(lab.context, trained), booster=b"not trees")]
        monkeypatch.setattr("jobs.stages.registry.trained_models", lambda _: models)
        reason = f"{trained} is no longer in" if what == "row" else f"the trees of {trained} cannot be read"
    applied = apply_model(lab.context, at_date(lab.context, AS_OF), supply)
    assert applied.scores is None and applied.fallback is not None
    assert applied.fallback.startswith(reason)


def test_rolling_back_gives_the_scores_of_before(lab: Lab, trained: str) -> None:
    use_model(lab, trained)
    while in_use(lab.context, "churn") is not None:
        before = rollback(lab.context, "churn", "test", "enough seen")
    assert before is None
    with pytest.raises(CycleError, match="nothing to go back from"):
        rollback(lab.context, "churn", "test", "once more")
    write_scores(lab.context, at_date(lab.context, AS_OF))
    assert lab.scores().equals(lab.first)
    assert lab.table("model_drift").filter(pl.col("as_of") == AS_OF).is_empty()


def direction_of(context: RunContext) -> tuple[tuple[str, ...], tuple[str, ...]]:
    model = context.configuration.models.models["churn"]
    return model.rising, model.falling


def test_with_several_dates_the_last_one_calibrates(lab: Lab) -> None:
    context = lab.with_models(training={**FEW, "least_items": 0.0, "bases": 2})
    found = train_model(context, "churn", AS_OF)
    assert found.bases == (date(2026, 3, 31), BASE)
    row = lab.table("models").filter(pl.col("model_id") == found.model_id).to_dicts()[0]
    assert row["calibrated_on"] == BASE
    # Items that the earlier date lacks are not used: that they are unknown would tell the date.
    assert not any(one.item == "data_mb_7d" for one in found.features)
    samples = samples_of(context, "churn", AS_OF)
    later = samples.base_of_row == 1
    raw = found.scorer(context.configuration.models).by_item(samples.matrix[later])[0]
    told = found.scorer(context.configuration.models).calibrated(raw)
    assert told.mean() == pytest.approx(samples.labels[later].mean(), rel=0.05)
    # The trees are those of the earlier date alone, trained here without Spark.
    training = context.configuration.models.training
    constraints = directions(samples.features, *direction_of(context))
    parameters = {**training.parameters.model_dump(), "nthread": 1}
    alone = train(samples.matrix[~later], samples.labels[~later], parameters, constraints)
    expected = alone.predict(xgboost.DMatrix(samples.matrix[later]))
    assert np.corrcoef(expected, raw)[0, 1] > 0.999
    both = train(samples.matrix, samples.labels, parameters, constraints)
    assert np.corrcoef(both.predict(xgboost.DMatrix(samples.matrix[later])), raw)[0, 1] < 0.99
    assert row["customers"] == len(samples.labels) and row["positive"] == samples.labels.sum()


def test_a_second_model_can_be_evaluated_and_compared(lab: Lab, trained: str) -> None:
    found = evaluate(
        lab.with_models(training={**FEW, "folds": 2}, evaluation={"resamples": 20}), "complaint", AS_OF
    )
    assert found.bases == (BASE,) and found.judged.positive > 5
    assert {"random", "formula", "model"} <= set(found.judged.figures["all"])
    html = page(found, "投诉", "Complaint", lab.context.configuration.view)
    assert "投诉 / Complaint: evaluation as of 2026-05-31" in html and html.count("<svg") == 1
    auc = found.judged.figures["all"]["model"]["auc"]
    assert f"{auc.value:.3f} ({auc.low:.3f}-{auc.high:.3f})" in html
    data = json.loads(json.dumps(as_data(found), allow_nan=False))
    assert data["judged"]["figures"]["all"]["model"]["auc"]["value"] == auc.value
    other = train_model(lab.with_models(training=FEW), "complaint", AS_OF)
    with pytest.raises(CycleError, match="foretells churn"):
        compare(lab.context, trained, other.model_id, AS_OF)
    compared = compare(lab.context, trained, trained, AS_OF)
    assert compared.has_learned == (trained, trained)
    assert [compared.gain[name].value for name in ("auc", "lift")] == [0, 0]
    assert compared.customers > 900 and compared.figures[trained]["auc"] > 0.9


@pytest.mark.parametrize(
    ("name", "day", "code", "text"),
    [
        ("churn", date(2025, 12, 20), "MODEL_NO_DATA", "are needed"),
        ("churn", AS_OF, "MODEL_NO_DATA", "positive cases and "),
    ],
)
def test_without_ground_nothing_is_learned(lab: Lab, name: str, day: date, code: str, text: str) -> None:
    context = lab.with_models(training={"least_cases": 900})
    with pytest.raises(CycleError) as found:
        train_model(context, name, day)
    assert found.value.codes == [code] and text in str(found.value)


def test_an_item_that_knows_the_future_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base's view is written with an item that the outcome has leaked into."""
    context = lab.context
    base = at_date(context, BASE)
    honest = samples_of(context, "churn", AS_OF)
    left = [one for one, label in zip(honest.table["subscription_id"].to_pylist(), honest.labels, strict=True)
            if label]  # fmt: skip
    view = view_of(context, base).localCheckpoint()
    age = F.coalesce(view.age_years, F.lit(0)) + 500 * view.subscription_id.isin(left).cast("int")
    leaked = view.withColumn("age_years", age)
    monkeypatch.setattr("jobs.stages.samples.view_of", lambda *_: leaked)
    with pytest.raises(CycleError) as found:
        train_model(context, "churn", AS_OF)
    assert found.value.codes == ["MODEL_LEAK"] and "'age_years' alone tells" in str(found.value)


def test_the_features_of_a_batch_are_those_of_the_table(lab: Lab) -> None:
    samples = samples_of(lab.context, "churn", AS_OF)
    count = len(samples.features)
    batches = samples.table.to_batches(max_chunksize=100)
    parts = np.concatenate([matrix_of(batch, count) for batch in batches])
    assert np.array_equal(parts, samples.matrix, equal_nan=True)


def test_people_can_look_at_models_and_at_the_risk_of_a_customer(lab: Lab, trained: str) -> None:
    use_model(lab, trained)
    write_scores(lab.context, lab.context.configuration.calendar.cycle(CycleKind.daily, AS_OF))
    where = lab.where
    row: dict[str, Any] = lab.scores().filter(pl.col("drivers").list.len() > 0).to_dicts()[0]
    told = CliRunner().invoke(app, ["risk", "explain", row["subscription_id"], *where, "--as-of", str(AS_OF)])
    assert told.exit_code == 0, told.output
    assert f"by {trained}" in told.output and row["reasons_zh"][0] in told.output
    assert str(row["risk_score"]) in told.output
    listed = CliRunner().invoke(app, ["risk", "list", *where])
    assert listed.exit_code == 0 and f"* {trained}  auc " in listed.output
    who = ["--by", "test", "--reason", "to see"]
    unknown = CliRunner().invoke(app, ["risk", "promote", trained[:-1], *where, *who])
    assert unknown.exit_code == 2
    assert f"there is no model '{trained[:-1]}' (did you mean '{trained}'?)" in " ".join(
        unknown.output.split()
    )
    few = CliRunner().invoke(app, ["risk", "train", *where, "--as-of", str(AS_OF)])
    assert few.exit_code == 2 and "MODEL_NO_DATA" in few.output and "Traceback" not in few.output
    other = CliRunner().invoke(app, ["risk", "train", *where, "--as-of", str(AS_OF), "--model", "chrn"])
    assert other.exit_code == 2 and "did you mean 'churn'?" in other.output
    nobody = CliRunner().invoke(app, ["risk", "explain", "S-none", *where, "--as-of", str(AS_OF)])
    assert nobody.exit_code == 2 and "CUSTOMER_UNKNOWN" in nobody.output


def test_kinds_are_mined_and_drafted_as_rules(lab: Lab, tmp_path: Path) -> None:
    """Counts by SQL over the view; the drafts are rules that load and can be tried."""
    mining = lab.context.configuration.mining
    loose = {"least_lift": 1.0, "least_z": 0.5, "confidence": 0.51, "least_share": 0.02, "finalists": 12}
    settings = mining.model_copy(update={"search": mining.search.model_copy(update=loose)})
    configuration = replace(lab.context.configuration, mining=settings)
    context = open_run(configuration, str(lab.folder / "warehouse"))
    found = mine_moments(context, "churn", AS_OF)
    left = _leavers(lab, "2026-04-30", "2026-05-30")
    view = lab.table("customer_view").filter(pl.col("as_of") == BASE)
    view = view.filter(pl.col("subscription_status") == "active")
    view = view.filter(~pl.col("subscription_id").is_in(list(left["disconnected"])))
    view = view.with_columns(lost=pl.col("subscription_id").is_in(list(left["left"])))
    assert (found.bases, found.customers, found.lost) == ((BASE,), len(view), view["lost"].sum())
    with duckdb.connect() as connection:
        connection.register("customers", view.to_arrow())

        def counted(where: str) -> tuple[int, int]:
            sql = f"select count(*), coalesce(sum(lost::int), 0) from customers where {where}"
            return connection.execute(sql).fetchall()[0]

        assert len(found.mined.kinds) > 3
        for one in found.mined.kinds:
            assert counted(one.text) == (
                one.searched.size + one.judged.size, one.searched.positive + one.judged.positive
            )  # fmt: skip
        moments = {one.moment: one.found for one in found.mined.moments}
        for name, where in (
            ("contract_lapse", "contract_days_left between -30 and -1"),
            (
                "complaint",
                "(complaints_opened_1d >= 1 and complaints_open >= 1) or complaints_open_over_7d >= 1",
            ),
        ):
            assert (moments[name].size, moments[name].positive) == counted(where), name
    # Few leave here, so chance explains whatever is found; the drafts are those of kinds that hold.
    held = tuple(replace(one, verdict="confirmed") for one in found.mined.kinds)
    found = replace(found, mined=replace(found.mined, kinds=held))
    drafts = proposals(found, configuration)
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    for name, text in drafts.items():
        (rules / "moments" / f"{name}.yaml").write_text(text, encoding="utf-8")
    loaded = configure(Project(ROOT, rules), "local", str(lab.folder / "source.yaml")).rules
    mined = [rule for rule in loaded.rules if rule.id in drafts]
    confirmed = [one for one in found.mined.kinds if one.verdict == "confirmed"]
    assert len(mined) == len(drafts) == min(len(confirmed), settings.proposals.most) > 0
    assert {rule.file.status for rule in mined} == {"draft"}
    html = mining_page(found, tallied([], {}, configuration.rules, settings.search), configuration)
    assert all(
        one.text in html.replace("&gt;", ">").replace("&lt;", "<").replace("&#39;", "'") for one in confirmed
    )
    told = json.loads(json.dumps(mined_data(found, []), allow_nan=False))
    assert [one["when"] for one in told["kinds"]] == [one.text for one in found.mined.kinds]


def test_service_is_measured_by_month_and_area(lab: Lab) -> None:
    """Each figure counted row by row; what the source cannot tell, or not yet, is said and left out."""
    context, last = lab.context, date(2026, 4, 30)
    table = context.table("service_measures")
    earlier = dict.fromkeys(table.names) | {
        "month": date(2026, 1, 31), "measure": "complaints_per_10k", "area": "province", "place": "all",
        "amount": Decimal(1), "base": Decimal(1), "value": Decimal("2.5"), "owner": "service",
    }  # fmt: skip
    rows = context.spark.createDataFrame([tuple(earlier[name] for name in table.names)], table.ddl)
    context.warehouse.replace(rows, table, {"month": [date(2026, 1, 31)]})
    april = measure_month(context, date(2026, 4, 17))
    assert april.month == last
    assert {name: why.split(" ")[-1] for name, why in april.untold.items()} == {
        "self_service_payment": "payments", "satisfaction": "surveys", "poor_network_per_customer": "network_quality",
    }  # fmt: skip
    view = {
        row["subscription_id"]: row
        for row in lab.table("customer_view").filter(pl.col("as_of") == last).to_dicts()
    }
    complaints = lab.table("clean_complaints").to_dicts()
    closed: dict[str, list[date]] = {}
    for row in complaints:
        if row["stage"] == "closed":
            closed.setdefault(row["complaint_id"], []).append(row["occurred_on"])
    opened = [row for row in complaints if row["stage"] == "opened"]
    expected: dict[tuple[str, str, str], list[int]] = {}

    def add(measure: str, row: dict[str, Any], field: str | None, amount: int, base: int) -> None:
        mine = view.get(row["subscription_id"], {})
        places = [("province", "all"), *((area, mine.get(area) or "-") for area in ("city", "brand"))]
        places += [(field, row[field] or "-")] if field else []
        for area, place in places:
            counts = expected.setdefault((measure, area, place), [0, 0])
            counts[0] += amount
            counts[1] += base

    for row in (row for row in opened if date(2026, 4, 1) <= row["occurred_on"] <= last):
        on, count = row["occurred_on"], row["count"]
        soon = any(on <= day <= on + timedelta(days=7) for day in closed.get(row["complaint_id"], ()))
        again = any(
            other["subscription_id"] == row["subscription_id"] and 1 <= (on - other["occurred_on"]).days <= 30
            for other in opened
        )
        add("complaints_in_time", row, "category", count * soon, count)
        add("repeat_complaints", row, "category", count * again, count)
        add("complaints_per_10k", row, "category", count, 0)
    held = [row for row in view.values() if row["subscription_status"] in ("active", "suspended")]
    for row in held:
        add("complaints_per_10k", row, None, 0, 1)
    for (measure, area, _), counts in expected.items():
        if (measure, area) == ("complaints_per_10k", "category"):
            counts[1] = len(held)
    contacts = lab.table("clean_service_contacts")
    contacts = contacts.filter(
        pl.col("event_date").is_between(date(2026, 4, 1), last) & pl.col("channel").is_not_null()
    )
    for row in contacts.to_dicts():
        add("electronic_share", row, "topic", row["count"] * (row["channel"] in ("app", "sms")), row["count"])
    found = {(row["measure"], row["area"], row["place"]): row for row in april.rows}
    assert set(found) == set(expected) and len(found) > 40
    measures = context.configuration.service_measures.measures
    for key, (amount, base) in expected.items():
        row, measure = found[key], measures[key[0]]
        assert (row["amount"], row["base"]) == (amount, base), key
        value = None if not base else round(float(measure.times) * amount / base, 4)
        assert row["value"] == value or abs(float(row["value"]) - value) < 1e-4
        if measure.target is None or value is None:
            assert row["on_target"] is None
        else:
            assert row["on_target"] == (value >= measure.target)
    assert found["complaints_in_time", "province", "all"]["amount"] > 5
    changed = found["complaints_per_10k", "province", "all"]
    assert (
        changed["change_on_quarter"] == changed["value"] - Decimal("2.5")
        and changed["change_on_year"] is None
    )
    assert found["complaints_in_time", "province", "all"]["change_on_quarter"] is None
    may = measure_month(context, date(2026, 5, 31))
    assert "and those until 2026-06-07 are needed" in may.untold["complaints_in_time"]
    assert {row["measure"] for row in may.rows} == {
        "complaints_per_10k",
        "repeat_complaints",
        "electronic_share",
    }
    with pytest.raises(CycleError, match="no view of 2025-11-30"):
        measure_month(context, date(2025, 11, 2))
    told = CliRunner().invoke(app, ["measures", *lab.where, "--month", "2026-4"])
    assert told.exit_code == 2 and "'2026-4' is not a month of the form YYYY-MM" in told.stderr
