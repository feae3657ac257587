"""The laws of the books, each a query of its discrepancies: project, period, what, expected, found."""

from metering.catalogue.meters import columns, counters_of
from metering.catalogue.month_sql import first_of_month, month_name, month_of_hour
from metering.days.seal import row_hash
from metering.months.close import SEAL
from metering.proof.history_laws import HISTORY_LAWS
from metering.proof.retained import kept_from
from metering.proof.summary_laws import SUMMARY_LAWS
from metering.proof.total_laws import TOTAL_LAWS

# Usage before the watermark that was never sealed would never be billed.
# Hours that no seal will take: those of a month that is open are a missing day's, which the close seals.
STRANDED_HOURS = f"""
    SELECT u.project_id, u.hour::text, 'hours', 'sealed', 'not sealed'
    FROM usage_hourly u JOIN project_stats s USING (project_id)
    WHERE u.hour < s.open_from AND (greatest({columns("u.{0}")}) > 0 OR u.meters <> '{{}}') AND NOT EXISTS (
        SELECT FROM daily_stats d WHERE d.project_id = u.project_id
        AND d.date = (u.hour AT TIME ZONE 'UTC')::date)
        AND (u.hour AT TIME ZONE 'UTC')::date >= {kept_from("daily_stats")}
        AND EXISTS (SELECT FROM monthly_stats m WHERE m.project_id = u.project_id
            AND {first_of_month("m")} >= {month_of_hour("u.hour")})"""

DAY_HASHES = f"""
    SELECT project_id, date::text, 'row_hash', coalesce(expected, 'only columns of its form'), row_hash FROM (
        SELECT d.project_id, d.date, d.row_hash, {row_hash("d")} AS expected
        FROM daily_stats d) h WHERE expected IS DISTINCT FROM row_hash"""

_PERIOD = month_name("b")

MONTH_SEALS = f"""
    SELECT project_id, period, 'seal', coalesce(expected, 'its days, only columns of its form'), seal FROM (
        SELECT b.project_id, {_PERIOD} AS period, b.seal, {SEAL} AS expected
        FROM monthly_stats b LEFT JOIN (
            SELECT project_id, year, month, string_agg(row_hash, E'\\n' ORDER BY date) AS hashes
            FROM daily_stats GROUP BY project_id, year, month) days USING (project_id, year, month)
        WHERE {first_of_month("b")} >= {kept_from("daily_stats")} OR days.hashes IS NOT NULL
    ) s WHERE expected IS DISTINCT FROM seal"""

SEAL_CHAIN = f"""
    SELECT project_id, period, 'previous_seal', expected, previous_seal FROM (
        SELECT b.project_id, {_PERIOD} AS period, b.previous_seal,
            coalesce(lag(b.seal) OVER (PARTITION BY b.project_id ORDER BY b.year, b.month), '') AS expected
        FROM monthly_stats b) s WHERE expected <> previous_seal"""

BILL_SUMS = f"""
    SELECT b.project_id, {_PERIOD}, 'total_charge',
        (b.plan_fee + b.overage_charge + b.adjustment_charge)::text, b.total_charge::text
    FROM monthly_stats b
    WHERE b.total_charge <> b.plan_fee + b.overage_charge + b.adjustment_charge"""

# A bill of an earlier version may expect fewer than no days of a project that had left: read as none.
BILL_DAYS = f"""
    SELECT b.project_id, {_PERIOD}, 'days_present', format('0 to %s', greatest(b.days_expected, 0)),
        b.days_present::text
    FROM monthly_stats b WHERE NOT b.days_present BETWEEN 0 AND greatest(b.days_expected, 0)"""

BILLED_ADJUSTMENTS = f"""
    SELECT * FROM (
        SELECT b.project_id, {_PERIOD} AS period, 'adjustment_charge' AS meter,
            round(coalesce(sum(a.amount), 0), scale(b.plan_fee))::text AS expected,
            b.adjustment_charge::text AS found
        FROM monthly_stats b LEFT JOIN (
            SELECT project_id, posted_month, currency, sum(amount) AS amount FROM adjustments
            GROUP BY project_id, posted_month, currency) a
            ON a.project_id = b.project_id AND a.posted_month = {first_of_month("b")}
            AND coalesce(a.currency, b.currency) = b.currency
        GROUP BY b.project_id, b.year, b.month) c
    WHERE expected <> found"""

# A change of a decision takes a change of the audit log too. Late rows were once posted without a trace
# in it: of these only what the log has is compared.
DECISIONS = """
    SELECT coalesce(a.project_id, l.project_id), 'adjustment ' || coalesce(a.id, l.id), 'decision',
        coalesce(l.decision, 'nothing posted'), coalesce(a.decision, 'deleted')
    FROM (
        SELECT project_id, id, kind, jsonb_build_array(kind, meter, quantity, trim_scale(amount),
            currency, usage_date, to_char(posted_month, 'YYYY-MM'), reason, actor, reverses)::text AS decision
        FROM adjustments) a
    FULL JOIN (
        SELECT (after->>'project_id')::bigint AS project_id, (after->>'id')::bigint AS id,
            jsonb_build_array(after->'kind', after->'meter', after->'quantity',
                trim_scale((after->>'amount')::numeric), after->'currency', after->'usage_date',
                after->'posted_month', after->'reason', after->'actor', after->'reverses')::text AS decision
        FROM audit_log WHERE action = 'adjust') l USING (project_id, id)
    WHERE a.decision IS DISTINCT FROM l.decision AND (l.id IS NOT NULL OR a.kind <> 'late_rows')"""

_ACCEPTED = ("source", "starts_at", "reason", "project_ids", "accepted_by", "accepted_at", "accepted_reason")
ACCEPTED = f"""
    SELECT 0, 'gap ' || coalesce(g.id, l.id), 'acceptance',
        coalesce(concat_ws(' until ', l.decision, l.ends_at), 'not accepted'),
        coalesce(concat_ws(' until ', g.decision, g.ends_at), 'not accepted')
    FROM (
        SELECT id, jsonb_build_array({", ".join(_ACCEPTED)})::text AS decision,
            to_jsonb(ends_at)->>0 AS ends_at FROM gaps WHERE accepted_at IS NOT NULL) g
    FULL JOIN (
        SELECT (after->>'id')::bigint AS id, after->>'ends_at' AS ends_at,
            jsonb_build_array({", ".join(f"after->'{name}'" for name in _ACCEPTED)})::text AS decision
        FROM audit_log WHERE action = 'accept-gap') l USING (id)
    WHERE g.decision IS DISTINCT FROM l.decision OR l.ends_at <> g.ends_at"""

ARCHIVED_BILLS = f"""
    SELECT 0, a.month, 'bills', a.bills::text, coalesce(b.bills, 0)::text FROM (
        SELECT subject AS month, max((after->>'bills')::bigint) AS bills FROM audit_log
        WHERE action = 'archive' GROUP BY subject) a
    LEFT JOIN (
        SELECT {month_name()} AS month, count(*) AS bills
        FROM monthly_stats GROUP BY year, month) b USING (month)
    WHERE coalesce(b.bills, 0) < a.bills"""

_MQTT = counters_of("mqtt")
# Lower bounds, which never exceed what the ledger has, or the sealed day, whose hours may have been deleted.
DEVICES = f"""
    SELECT c.project_id, c.date::text, v.meter, 'at most ' || v.counted, v.devices::text FROM (
        SELECT project_id, date, {columns("sum({0}) AS {0}", _MQTT)} FROM device_usage_daily
        GROUP BY project_id, date) c
    CROSS JOIN LATERAL (SELECT {columns("coalesce(sum(u.{0}), 0) AS {0}", _MQTT)} FROM usage_hourly u
        WHERE u.project_id = c.project_id AND u.hour >= c.date::timestamp AT TIME ZONE 'UTC'
        AND u.hour < (c.date + 1)::timestamp AT TIME ZONE 'UTC') h
    LEFT JOIN daily_stats d ON d.project_id = c.project_id AND d.date = c.date
    CROSS JOIN LATERAL (VALUES {columns("('{0}', greatest(h.{0}, d.{0}), c.{0})", _MQTT)})
        AS v (meter, counted, devices)
    WHERE v.devices > v.counted
        AND (d.project_id IS NOT NULL OR c.date >= {kept_from("usage_hourly")})"""

LAWS: dict[str, tuple[str, str]] = (
    HISTORY_LAWS
    | SUMMARY_LAWS
    | TOTAL_LAWS
    | {
        "no counted hour is left unsealed": (STRANDED_HOURS, "usage_hourly"),
        "a sealed day is as it was sealed": (DAY_HASHES, "daily_stats"),
        "a closed month is as it was sealed": (MONTH_SEALS, "monthly_stats"),
        "seals form a chain": (SEAL_CHAIN, "monthly_stats"),
        "a bill adds up": (BILL_SUMS, "monthly_stats"),
        "a bill has no more days than were expected": (BILL_DAYS, "monthly_stats"),
        "a bill has the adjustments of its month": (BILLED_ADJUSTMENTS, "monthly_stats"),
        "adjustments are as they were posted": (DECISIONS, "adjustments"),
        "gaps are accepted as they were": (ACCEPTED, "gaps"),
        "every archived bill is there": (ARCHIVED_BILLS, "monthly_stats"),
        "devices have at most their project's messages": (DEVICES, "device_usage_daily"),
    }
)
