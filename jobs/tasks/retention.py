"""Job `retention`: delete closed and archived months past their retention period."""

from datetime import timedelta
from typing import Any

from metering.archive import retention
from metering.catalogue.periods import Day
from metering.db.transactions import transaction
from metering.ledger import usage_events
from metering.runs.context import Context


def run(context: Context) -> dict[str, Any]:
    """Delete rows that the settings no longer retain; return the counts, and why others stay."""
    settings = context.settings
    policies = (
        (retention.HOURS, retention.cutoffs(settings.keep_hours_days, context.at), "KEEP_HOURS_DAYS"),
        (retention.DAYS, retention.month_cutoffs(settings.keep_days_months, context.at), "KEEP_DAYS_MONTHS"),
    )
    result: dict[str, Any] = {"kept": {}}
    for table, cutoffs, setting in policies:
        removed = retention.shorten(
            context.engine, table, cutoffs, context.requested_by, context.advance, context.dry_run
        )
        result[table.name] = {month: str(part) for month, part in removed.items()}
        context.removed[table.name] = sum(part.rows for part in removed.values())
        with transaction(context.engine) as connection:
            reasons = retention.reasons_to_keep(connection, cutoffs, context.at)
        result["kept"][table.name] = reasons if cutoffs else f"all of it: FLEETMETER_{setting} is not set"
    oldest = Day.of(context.at - timedelta(days=settings.keep_devices_days))
    context.removed["device_usage_daily"] = retention.forget_devices(
        context.engine, oldest.date, context.dry_run
    )
    before = context.at - timedelta(days=settings.keep_runs_days)
    context.removed |= retention.forget_runs(context.engine, before, context.dry_run)
    context.removed["usage_events"] = usage_events.forget(context.engine, context.at, context.dry_run)
    return result | {"removed": context.removed}
