"""The stages that share out what is left: priority, visits, the control group, ranks and capacity."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.domain.dispatch import CONTROL, DISPATCHED, OVERFLOW, DispatchPlan
from jobs.domain.moments import hash_of
from jobs.domain.priority import priority_sql
from jobs.domain.privacy import pseudonym
from jobs.expressions.sql import literal

RANK_BUCKETS = 1000


def with_priority(rows: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Adds the priority; the factors of which it is the product come with the records."""
    return rows.withColumn("priority", F.expr(priority_sql(plan.settings.priority)))


def in_control(customer: Column, key: bytes, share: float) -> Column:
    """Whether a customer belongs to the control group: for good, and not to be guessed without the key.

    Args:
        customer: Id of the customer.
        key: Key of the control group.
        share: Share of all customers that the group has.
    """
    first = F.conv(F.substring(pseudonym(customer, key), 1, 8), 16, 10).cast("double")
    return first < F.lit(share * 2.0**32)


def serving(managers: DataFrame, absences: DataFrame, day: date) -> DataFrame:
    """Who serves the customers of each manager on a date, and how many visits that one can make.

    A manager who is absent but makes some visits meanwhile serves with those; else the stand-in does, who
    has the visits of one, not of two, and is not absent as well; else nobody, and the city's team takes over.

    Args:
        managers: manager_id and daily_visits.
        absences: manager_id, from_date, to_date, status, daily_visits and stand_in_manager_id as known.
        day: The date.

    Returns:
        manager_id, server and daily_visits; no row where nobody serves.
    """
    now = absences.where(f"status = 'planned' AND {literal(day)} BETWEEN from_date AND to_date")
    # Of absences that overlap, the one that began last says how things are.
    last = "max_by(struct(daily_visits, stand_in_manager_id), from_date)"
    away = now.groupBy("manager_id").agg(F.expr(last).alias("_away"))
    known = managers.join(away, "manager_id", "left").select(
        "manager_id",
        F.expr("if(_away IS NULL, daily_visits, coalesce(_away.daily_visits, 0L))").alias("visits"),
        F.expr("_away IS NULL OR _away.daily_visits > 0").alias("here"),
        F.expr("_away.stand_in_manager_id").alias("stand_in"),
    )
    others = known.where("here").select(
        F.col("manager_id").alias("stand_in"), F.col("visits").alias("theirs")
    )
    found = known.join(others, "stand_in", "left").select(
        "manager_id",
        F.expr("CASE WHEN here THEN manager_id WHEN theirs IS NOT NULL THEN stand_in END").alias("server"),
        F.expr("if(here, visits, theirs)").alias("daily_visits"),
    )
    return found.where("server IS NOT NULL")


def with_visits(rows: DataFrame, managers: DataFrame, plan: DispatchPlan) -> DataFrame:
    """Groups a customer's live moments that need a manager into one visit, the strongest leading.

    Adds control (the customer is in the control group, and the rule is not of service that is owed),
    visit_id, visit_lead, resource (whose day the visit takes) and capacity (visits that day). What control
    keeps from a customer is ranked as the visit that it would have been part of, and never made.

    Args:
        rows: Candidates with whom and priority.
        managers: manager_id, server and daily_visits; see serving.
        plan: The plan.
    """
    needs = f"(status IS NULL AND {plan.by_manager})"
    withheld = F.expr(f"status IS NULL AND {plan.among(r for r in plan.served if r.in_control)}")
    visiting = rows.withColumns(
        {
            "_needs": F.expr(needs),
            "_date": F.lit(plan.dispatch_date.isoformat()),
            "control": withheld & in_control(F.col("whom"), plan.control_key, plan.settings.control.share),
        }
    )
    order = (F.desc("priority"), F.col("alert_id"))
    leading = Window.partitionBy("whom", "_needs", "control").orderBy(*order)
    # What control withholds would have shared the visit that is owed, so the strongest of both leads it.
    whole = Window.partitionBy("whom", "_needs").orderBy(*order)
    # A customer may hold numbers under several managers: the lead moment decides.
    lead_values = {
        name: F.when(F.col("control"), F.first(name).over(whole)).otherwise(F.first(name).over(leading))
        for name in ("manager_id", "city", "priority", "alert_id")
    }
    visits = visiting.select(
        "*",
        F.when(F.col("_needs") & ~F.col("control"), hash_of("whom", "_date"))
        .when(F.col("_needs"), hash_of("whom", "_date", "control"))
        .alias("visit_id"),
        F.when(F.col("_needs"), F.row_number().over(leading) == 1).alias("visit_lead"),
        *(value.alias(f"_lead_{name}") for name, value in lead_values.items()),
    )
    known = managers.select(F.col("manager_id").alias("_lead_manager_id"), "server", "daily_visits")
    joined = visits.join(known, "_lead_manager_id", "left")
    teams = plan.settings.teams
    cities = " ".join(
        f"WHEN {literal(city)} THEN {count}" for city, count in sorted(teams.daily_visits_by_city.items())
    )
    team = f"CASE _lead_city {cities} ELSE {teams.daily_visits_default} END"
    if not cities:
        team = str(teams.daily_visits_default)
    return joined.select(
        "*",
        F.expr(
            "CASE WHEN NOT _needs THEN NULL "
            "WHEN server IS NOT NULL THEN concat('manager:', server) "
            "ELSE concat('team:', coalesce(_lead_city, 'unknown')) END"
        ).alias("resource"),
        F.expr(f"CASE WHEN _needs THEN coalesce(daily_visits, {team}) END").alias("capacity"),
    ).drop("server", "daily_visits", "_date", "_needs")


def with_ranks(rows: DataFrame) -> DataFrame:
    """Adds rank_province and rank_manager of each visit, in one total order: priority, then alert_id.

    A visit withheld by control has the place it would take, and moves nobody down. The province's rank needs
    no window over all rows: visits are cut into buckets of priority, ranked inside, and the sizes of the
    buckets above are added.
    """
    leads = rows.where("visit_lead").select(
        "visit_id",
        "resource",
        "_lead_priority",
        "_lead_alert_id",
        "control",
        F.expr(f"cast(floor(_lead_priority * {RANK_BUCKETS}) AS INT)").alias("_bucket"),
    )
    made = F.expr("if(control, 0, 1)")
    # A customer's own visit that is owed stands not above the one that it would have been part of.
    order = [F.desc("_lead_priority"), F.col("_lead_alert_id"), made]

    def place_in(group: str) -> Column:
        above = Window.partitionBy(group).orderBy(*order).rowsBetween(Window.unboundedPreceding, 0)
        return F.sum(made).over(above) + F.lit(1) - made

    sizes = leads.groupBy("_bucket").agg(F.sum(made).alias("size"))
    above = sizes.alias("low").join(sizes.alias("high"), F.expr("high._bucket > low._bucket"), "left")
    offsets = above.groupBy("low._bucket").agg(F.coalesce(F.sum("high.size"), F.lit(0)).alias("offset"))
    ranked = leads.join(F.broadcast(offsets), "_bucket").select(
        "visit_id",
        (F.col("offset") + place_in("_bucket")).alias("rank_province"),
        place_in("resource").alias("rank_manager"),
    )
    return rows.join(ranked, "visit_id", "left")


def with_capacity(rows: DataFrame, taken: DataFrame | None = None) -> DataFrame:
    """Gives every live row its status: visits beyond their resource's capacity wait, naming it.

    What control withholds waits like the others; its status says control on the date on which it would have
    been served. A visit takes one place of one resource, so filling in the global order is the rank inside
    the resource; moments that need no manager are dispatched as they are.

    Args:
        rows: Candidates with ranks.
        taken: resource and taken, places of the day that are gone already; none by default.
    """
    full = "resource IS NOT NULL AND rank_manager > capacity"
    if taken is not None:
        rows = rows.join(taken, "resource", "left").withColumn(
            "capacity", F.expr("greatest(capacity - coalesce(taken, 0), 0)")
        )
    return rows.drop("taken").withColumns(
        {
            "suppressed_by": F.expr(
                f"CASE WHEN status IS NULL AND {full} THEN resource ELSE suppressed_by END"
            ),
            "status_reason": F.expr(
                f"CASE WHEN status IS NULL AND {full} THEN 'capacity' ELSE status_reason END"
            ),
            "status": F.expr(
                f"CASE WHEN status IS NOT NULL THEN status WHEN {full} THEN {literal(OVERFLOW)} "
                f"WHEN control THEN {literal(CONTROL)} ELSE {literal(DISPATCHED)} END"
            ),
        }
    )
