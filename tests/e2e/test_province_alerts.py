"""The province's alerts and scores, computed again in plain Python from the words of conf/ and rules/."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import yaml

from jobs.stages.summary import print_summary
from jobs.storage.branch import Branch
from jobs.storage.frames import frame_of
from tests.e2e.conftest import DATES, ROOT, Province

pytestmark = pytest.mark.spark

AS_OF = date(2026, 5, 31)
BASE = date(2026, 4, 30)
Row = dict[str, Any]


def rule_in(path: Path) -> Row:
    """What a rule's file says, and what it inherits."""
    rule: Row = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "inherits" in rule:
        template = ROOT / "rules/templates" / f"{rule['inherits']}.yaml"
        rule = yaml.safe_load(template.read_text(encoding="utf-8")) | rule
    return rule


RULES: dict[str, Row] = {
    path.stem: rule_in(path)
    for folder in ("moments", "reminders")
    for path in (ROOT / "rules" / folder).glob("*.yaml")
}


def rows_of(province: Province, name: str) -> list[Row]:
    return pl.read_delta(str(province.warehouse / name)).to_dicts()


def alerts(province: Province, day: date) -> list[Row]:
    return [row for row in rows_of(province, "alerts") if row["dispatch_date"] == day]


@pytest.mark.parametrize("day", DATES)
def test_every_factor_of_the_priority_is_what_the_settings_say(province: Province, day: date) -> None:
    seen: dict[str, set[float]] = defaultdict(set)
    for row in alerts(province, day):
        chance = row["risk_probability"]
        waits = max((row["valid_until"] - day).days, 0)
        expected = {
            "risk": 0.5 if chance is None else max(min(float(chance) / 0.20, 1), 0.05),
            "value": {"high": 1.0, "mid": 0.7, "low": 0.3}.get(row["value_tier"], 0.5),
            "severity": {"critical": 1.0, "high": 0.75, "medium": 0.5, "low": 0.25}[
                RULES[row["moment_id"]]["severity"]
            ],
            "urgency": 5 / (5 + waits),
        }
        found = {factor["name"]: float(factor["factor"]) for factor in row["priority_factors"]}
        assert found == pytest.approx(expected, abs=1e-6), row["alert_id"]
        neutral = {factor["name"] for factor in row["priority_factors"] if factor["neutral"]}
        assert neutral == {
            name for name, input_ in (("risk", chance), ("value", row["value_tier"])) if input_ is None
        }
        for name, factor in found.items():
            seen[name].add(factor)
    # Were all alike, a factor that is turned round would not be seen.
    assert min(len(factors) for factors in seen.values()) >= 2


@pytest.mark.parametrize("day", DATES)
def test_alerts_are_worth_serving_for_the_days_of_their_rule(province: Province, day: date) -> None:
    counted = Counter()
    for row in alerts(province, day):
        rule = RULES[row["moment_id"]]
        since = row["carried_from"]
        if since is not None:
            continue
        last = day + timedelta(days=rule["urgency_days"])
        if rule["fire"] == "each_step":
            last = min(last, date(2026, 5, 31))
        if row["serve_on"] is not None:
            assert row["moment_id"] in ("birthday", "join_anniversary")
            last = row["serve_on"]
        assert row["valid_until"] == last, row["moment_id"]
        counted[row["moment_id"]] += 1
    assert len(counted) > 5


@pytest.mark.parametrize("day", DATES)
def test_what_a_record_says_of_its_rule_and_channel(province: Province, day: date) -> None:
    dispatch = yaml.safe_load((ROOT / "conf/dispatch.yaml").read_text(encoding="utf-8"))
    plans = yaml.safe_load((ROOT / "rules/plans.yaml").read_text(encoding="utf-8"))
    version = yaml.safe_load((ROOT / "schemas/tables/alerts.yaml").read_text(encoding="utf-8"))["version"]
    fingerprints = defaultdict(set)
    seen = Counter()
    for row in alerts(province, day):
        rule = RULES[row["moment_id"]]
        plan = plans[rule["plan"]]
        channel = dispatch["channels"][row["channel"]]
        assert {"zh": row["title_zh"], "en": row["title_en"]} == rule["title"]
        assert (row["category"], row["severity"]) == (rule["category"], rule["severity"])
        assert row["plan_id"] == rule["plan"]
        assert row["channel"] in (plan["channel"], *plan.get("otherwise", ()))
        assert row["dispatch_cycle"] == rule["cycle"]
        assert (row["revision"], row["schema_version"]) == (1, version)
        assert row["not_before"] == day
        assert row["allowed_contact_windows"]
        for window in row["allowed_contact_windows"]:
            assert channel["contact_from"] <= window["from_time"] < window["to_time"] <= channel["contact_to"]
        assert row["previous_alert_id"] is None and row["rule_version"] is None
        assert row["generated_at"] is not None and row["run_id"]
        fingerprints[row["moment_id"]].add(row["rule_fingerprint"])
        seen[row["channel"]] += 1
    assert set(seen) == set(dispatch["channels"])
    rules = {rule.id: rule.fingerprint for rule in province.configuration.rules.rules}
    assert fingerprints == {moment: {rules[moment]} for moment in fingerprints}
    assert len(set(rules.values())) == len(rules)


def _conditions(when: Row) -> set[str]:
    """Names of the comparisons in the when part of a rule."""
    found = set()
    for members in when.values():
        for name, member in members.items():
            if isinstance(member, dict):
                found |= _conditions({name: member} if name in ("all", "any", "not") else member)
            else:
                found.add(name)
    return found


def test_a_record_carries_the_items_and_scores_of_its_subscription(province: Province) -> None:
    view = {
        row["subscription_id"]: row for row in rows_of(province, "customer_view") if row["as_of"] == AS_OF
    }
    risk = {row["subscription_id"]: row for row in rows_of(province, "risk_scores") if row["as_of"] == AS_OF}
    attributes, met = Counter(), defaultdict(set)
    for row in alerts(province, DATES[1]):
        if row["carried_from"] is not None:
            continue
        items, score = view[row["subscription_id"]], risk[row["subscription_id"]]
        for name in (
            "customer_id",
            "number",
            "city",
            "county",
            "brand",
            "tariff_plan",
            "value_tier",
            "lifecycle_stage",
        ):
            assert row[name] == items[name], name
        for name in ("risk_score", "risk_probability", "risk_band", "model_version"):
            assert row[name] == score[name], name
        for language in ("zh", "en"):
            assert row[f"risk_reasons_{language}"] == score[f"reasons_{language}"]
        found: dict[str, str] = dict(row["attributes"])
        assert (
            found == {name: str(items[name]) for name in found if items[name] is not None} and len(found) >= 7
        ), row["attributes"]
        attributes.update(found)
        named, told = _conditions(RULES[row["moment_id"]]["when"]), set(row["conditions_met"])
        assert told and told <= named
        assert {one["name"] for one in row["parameters"]} == named
        if list(RULES[row["moment_id"]]["when"]) == ["all"] and not _groups(row["moment_id"]):
            assert told == named, row["moment_id"]
        met[row["moment_id"]] |= told
    assert {"gender", "age_years", "tenure_days", "plan_monthly_fee", "bill_total_1m"} <= set(attributes)
    assert met["complaint"] == _conditions(RULES["complaint"]["when"])


def _groups(moment: str) -> bool:
    """Whether a rule has groups inside its outermost one."""
    [members] = RULES[moment]["when"].values()
    return any(isinstance(member, dict) for member in members.values())


def test_what_found_no_capacity_waits_for_the_next_date(province: Province) -> None:
    first, second = (alerts(province, day) for day in DATES)
    state = {
        (row["moment_id"], row["subscription_id"])
        for row in rows_of(province, "moment_state")
        if row["as_of"] == AS_OF and row["truth"] != "false"
    }
    still_open = {
        row["subscription_id"]
        for row in rows_of(province, "customer_view")
        if row["as_of"] == AS_OF and row["complaints_open"] >= 1
    }
    waiting = {
        row["alert_id"]
        for row in first
        if (row["status"] == "overflow" or row["status_reason"] in ("exempt", "cap"))
        and row["valid_until"] >= DATES[1]
        and (
            not RULES[row["moment_id"]].get("pending_while_true")
            or (row["moment_id"], row["subscription_id"]) in state
        )
        and (row["moment_id"] != "complaint" or row["subscription_id"] in still_open)
    }
    carried = {row["alert_id"] for row in second if row["carried_from"] is not None}
    assert carried == waiting and carried
    assert {row["carried_from"] for row in second} == {None, DATES[0]}


GROUPS = {
    "tariff": lambda v: _band(v["plan_monthly_fee"], (188, "188+"), (88, "88-187"), (38, "38-87"), (0, "0-37")),
    "brand": lambda v: v["brand"],
    "off_net": lambda v: _band(v["offnet_contact_share_1m"], (50, "50%+"), (30, "30-49%"), (0, "0-29%")),
    "number": lambda v: v["number_segment"],
    "service": lambda v: "complaint" if (v["complaints_30d"] or 0) >= 1 else _band(
        v["service_contacts_30d"], (2, "2+ contacts"), (0, "0-1 contacts")),
    "subscriptions": lambda v: _band(v["services_active"], (3, "3+"), (1, "1-2"), (0, "0")),
}  # fmt: skip


def _band(value: Any, *bands: tuple[int, str]) -> str | None:
    return None if value is None else next((name for least, name in bands if value >= least), None)


def test_every_term_of_the_risk_is_the_rate_of_the_customers_group(province: Province) -> None:
    """Groups from the view, sizes and leavers from view and labels, smoothing by hand."""
    views: dict[date, dict[str, Row]] = defaultdict(dict)
    for row in rows_of(province, "customer_view"):
        if row["as_of"] in (BASE, AS_OF):
            views[row["as_of"]][row["subscription_id"]] = row
    gone = dict(
        duckdb.execute(
            f"""select subscription_id, max(kind) from read_csv('{province.folder}/extracts/churn_labels_*.csv',
            all_varchar = true, null_padding = true)
            where churned_on > '2026-04-30' and churned_on <= '2026-05-30' group by 1"""
        ).fetchall()
    )
    base = [
        (one, view) for one, view in views[BASE].items()
        if view["subscription_status"] == "active" and gone.get(one) != "disconnected"
    ]  # fmt: skip
    leavers = sum(gone.get(one) == "left" for one, _ in base)
    average = leavers / len(base)
    rates: dict[tuple[str, str], float] = {}
    for term, group_of in GROUPS.items():
        sizes = Counter(group_of(view) or "unknown" for _, view in base)
        left = Counter(group_of(view) or "unknown" for one, view in base if gone.get(one) == "left")
        for group, size in sizes.items():
            rates[term, group] = average if group == "unknown" else (left[group] + 50 * average) / (size + 50)
    scores = [row for row in rows_of(province, "risk_scores") if row["as_of"] == AS_OF]
    # Everybody in the network has a risk, those suspended too, from the rates of who was active then.
    assert {row["subscription_id"] for row in scores} == set(views[AS_OF]) and len(scores) > 900
    bands = Counter()
    for row in scores:
        view = views[AS_OF][row["subscription_id"]]
        assert [term["term"] for term in row["terms"]] == list(GROUPS)
        for term in row["terms"]:
            group = GROUPS[term["term"]](view) or "unknown"
            assert term["group"] == group, term["term"]
            expected = rates.get((term["term"], group), average)
            assert float(term["rate"]) == pytest.approx(expected, abs=1e-7), (term["term"], group)
        chance = float(row["risk_probability"])
        band = "high" if chance >= 0.05 else "mid" if chance >= 0.02 else "low"
        assert row["risk_band"] == band
        bands[band] += 1
    assert len(bands) > 1, bands


def test_reasons_are_the_groups_that_leave_clearly_more_often(province: Province) -> None:
    terms = yaml.safe_load((ROOT / "conf/risk.yaml").read_text(encoding="utf-8"))["terms"]
    sums: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for rate in rows_of(province, "risk_rates"):
        if rate["as_of"] == AS_OF and rate["term"] in terms:
            sums[rate["term"]][0] += rate["rate"] * rate["group_size"]
            sums[rate["term"]][1] += rate["group_size"]
    average = {term: total / size for term, (total, size) in sums.items()}
    told = 0
    for row in rows_of(province, "risk_scores"):
        if row["as_of"] != AS_OF:
            continue
        worst = sorted(
            (term for term in row["terms"] if term["rate"] >= Decimal("1.5") * average[term["term"]]),
            key=lambda term: (average[term["term"]] - term["rate"], term["term"]),
        )
        for language, text in (("zh", "{}（{}）{}%"), ("en", "{} ({}) {} %")):
            expected = [
                text.format(
                    terms[term["term"]][language],
                    terms[term["term"]].get("labels", {}).get(term["group"], {}).get(language, term["group"]),
                    (term["rate"] * 100).quantize(Decimal("0.1"), ROUND_HALF_UP),
                )
                for term in worst[:3]
            ]
            assert row[f"reasons_{language}"] == expected
        told += len(worst) > 1
    assert told > 0


def test_the_highest_steps_of_the_calibration_are_smoothed(province: Province) -> None:
    """Each step's rate is drawn towards the average, and steps never fall."""
    steps = [
        row
        for row in rows_of(province, "risk_rates")
        if row["as_of"] == AS_OF and row["term"] == "calibration"
    ]
    steps.sort(key=lambda row: float(row["group"]))
    rates = [float(row["rate"]) for row in steps]
    assert len(steps) > 2 and rates == sorted(rates)
    size, left = sum(row["group_size"] for row in steps), sum(row["churned"] for row in steps)
    for row in steps:
        own = row["churned"] / row["group_size"]
        low, high = sorted((own, left / size))
        assert low - 1e-9 <= float(row["rate"]) <= high + 1e-9, row["group"]
        if own != left / size:
            assert abs(float(row["rate"]) - own) > 1e-6


def test_bills_stand_in_texts_in_the_order_of_their_months(province: Province) -> None:
    bills = defaultdict(dict)
    for path in sorted((province.folder / "extracts").glob("bills_*.csv")):
        for row in duckdb.execute(
            f"select subscription_id, month, total from read_csv('{path}', all_varchar = true, null_padding = true)"
        ).fetchall():
            bills[row[0]][row[1]] = row[2]
    rows = [row for row in alerts(province, DATES[1]) if row["moment_id"] == "monthly_spend_drop"]
    assert rows
    for row in rows:
        mine = bills[row["subscription_id"]]
        expected = [f"{Decimal(mine[f'2026-0{month}-01']):.2f}" for month in (3, 4, 5)]
        assert re.findall(r"\d+\.\d\d", row["description_zh"]) == expected
        assert re.findall(r"\d+\.\d\d", row["description_en"]) == expected


def test_texts_have_names_instead_of_codes_and_dates_to_come(province: Province) -> None:
    codes = re.compile(r"[a-z]{3,}")
    seen = Counter()
    for day in DATES:
        for row in alerts(province, day):
            seen[row["moment_id"]] += 1
            if row["moment_id"] not in ("new_handset", "terminal_change"):
                assert not codes.search(row["description_zh"]), row["description_zh"]
            assert "0件" not in row["description_zh"] and "unknown" not in row["description_en"]
            if row["moment_id"] == "arrears_before_suspension" and row["carried_from"] is None:
                told = re.search(r"20\d\d-\d\d-\d\d", row["description_zh"])
                assert told is None or date.fromisoformat(told[0]) >= day, row["description_zh"]
    assert seen["arrears_before_suspension"] and seen["low_balance"] and seen["complaint"]


def test_evidence_names_each_value_with_its_limit_and_unit(province: Province) -> None:
    owing = [row for row in alerts(province, DATES[1]) if row["moment_id"] == "arrears_before_suspension"]
    near = [row for row in owing if "within" in row["conditions_met"]]
    assert near
    for row in near:
        evidence = {one["name"]: one for one in row["parameters"]}
        assert (evidence["within"]["threshold"], evidence["within"]["unit"]) == ("5", "day")
        assert 1 <= int(evidence["within"]["value"]) <= 5
        assert float(evidence["in_arrears"]["value"]) >= 10


def test_a_moment_of_a_subscription_is_told_once(province: Province) -> None:
    """What waited gives way to what fires anew: a visit does not say two things of one matter."""
    for day in DATES:
        rows = [row for row in alerts(province, day) if row["status"] != "suppressed"]
        told = Counter((row["subscription_id"], row["moment_id"]) for row in rows)
        assert max(told.values()) == 1


def test_the_summary_counts_what_the_table_holds(
    province: Province, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_summary(province.context, DATES[1])
    text = capsys.readouterr().out
    rows = alerts(province, DATES[1])
    moments = Counter((row["moment_id"], row["dispatch_cycle"]) for row in rows)
    for (moment, cycle), count in moments.items():
        share = f"{100 * count / len(rows):.1f} %"
        line = next(line for line in text.splitlines() if f" {moment} " in line and cycle in line)
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells[2:4] == [str(count), share], line
        statuses = Counter(row["status"] for row in rows if row["moment_id"] == moment)
        assert [int(cell) for cell in cells[4:8]] == [
            statuses[status] for status in ("dispatched", "overflow", "suppressed", "control")
        ]
    reasons = Counter(row["status_reason"] for row in rows if row["status"] == "suppressed")
    told = re.search(r"suppressed / 已抑制: (.*)", text)
    assert told is not None
    assert told[1] == ", ".join(f"{name} {count}" for name, count in sorted(reasons.items()))
    top = min(
        (row for row in rows if row["status"] == "dispatched" and row["visit_lead"]),
        key=lambda row: row["rank_province"],
    )
    assert top["customer_id"] in text and f"{top['priority']:.4f}" in text
    # Why, in both languages, and what the risk came from; cells may break lines anywhere.
    told_why = re.sub(r"[│\s]+", "", text)
    for why in ("description_zh", "description_en"):
        assert re.sub(r"\s+", "", top[why])[:25] in told_why
    for language in ("zh", "en"):
        assert re.sub(r"\s+", "", top[f"risk_reasons_{language}"][0])[:15] in told_why
    loaded, refused, twice = Counter[str](), Counter[str](), Counter[str]()
    for row in rows_of(province, "deliveries"):
        if row["status"] == "active":
            loaded[row["contract"]] += row["rows_loaded"]
    for contract, count in loaded.items():
        line = next(line for line in text.splitlines() if f"│ {contract} " in line)
        assert f" {count:,} " in line, line
    for row in rows_of(province, "deliveries"):
        if row["contract"] in ("bills", "voice_usage") and row["status"] == "active":
            refused[row["contract"]] += row["rows_quarantined"]
            twice[row["contract"]] += row["rows_duplicate"]
    for contract, count in refused.items():
        line = next(line for line in text.splitlines() if f"│ {contract} " in line)
        assert [cell.strip() for cell in line.strip("│").split("│")][-2:] == [
            str(count),
            str(twice[contract]),
        ]
    # Per cent of each status, and the ten visits that are served first, with their factors.
    shares = next(line for line in text.splitlines() if "per cent" in line).strip("│").split("│")
    counts = Counter(row["status"] for row in rows)
    assert [share.strip() for share in shares[4:8]] == [
        f"{100 * counts[status] / len(rows):.1f} %"
        for status in ("dispatched", "overflow", "suppressed", "control")
    ]
    leads = sorted(
        (row for row in rows if row["status"] == "dispatched" and row["visit_lead"]),
        key=lambda row: row["rank_province"],
    )[:10]
    ranks = [line.split("│")[1].strip() for line in text.splitlines() if re.match(r"│ \d+ +│", line)]
    assert ranks == [str(row["rank_province"]) for row in leads] and len(leads) == 10
    factors = " x ".join(f"{one['name']} {one['factor']:.2f}" for one in leads[0]["priority_factors"])
    assert factors.replace(" ", "") in told_why.replace("*", "")
    # Where everything is, and a query that works as it stands there.
    assert f"Tables / 数据表: {province.warehouse}" in text
    command = text.splitlines()[-1].strip()
    assert command.startswith((".venv", sys.executable)) and str(province.warehouse / "alerts") in command
    shown = subprocess.run(
        [sys.executable, "-c", shlex.split(command)[2]], capture_output=True, check=True, text=True
    ).stdout
    assert f"shape: ({len(leads)}, 5)" in shown


def test_the_summary_lists_what_was_not_decided(
    province: Province, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rules that the source cannot decide, that were unknown, or true for nobody: none is silently false."""
    branch = Branch(province.context.warehouse, str(tmp_path), {"rule_evaluations"})
    table = province.context.table("rule_evaluations")
    branch.take_over(table, f"as_of = DATE'{AS_OF}'")
    head = ("daily", AS_OF)
    rows = [
        (*head, "lacking", "not_supplied", ["balance", "bill_total_1m"], [], False, None, None, None, "x"),
        (*head, "nobody", "evaluated", [], [], False, 0, 0, 0, "x"),
        (*head, "partly", "evaluated", [], ["one", "other"], False, 5, 3, 1, "x"),
        (*head, "unknown", "evaluated", [], [], False, 0, 1_234, 0, "x"),
    ]
    branch.append(frame_of(province.context.spark, rows, table.ddl), table)
    print_summary(replace(province.context, warehouse=branch), DATES[1])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    begin = lines.index("Not supplied by this source / 来源未提供，未执行:")
    assert lines[begin + 1 : begin + 7] == [
        "  lacking: lacks balance, bill_total_1m",
        "True for nobody, unknown for some / 无人满足，部分未知:",
        "  unknown: unknown for 1,234",
        "True for nobody / 无人满足: nobody",
        "Decided without some conditions / 部分条件来源未提供:",
        "  partly: without one, other",
    ]
