"""Job `reconcile`: our counts beside the broker's own, by AWS IoT's metrics or mosquitto's counters."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from collectors.aws import cloudwatch
from collectors.aws.client import RequestCount
from collectors.mqtt.diagnostics import sys_topics
from metering.alerts import reconciliation
from metering.alerts.reconciliation import CLOUDWATCH
from metering.db.transactions import transaction
from metering.errors import SourceUnavailable
from metering.runs.context import Context

CATCH_UP = 10.0  # seconds that the counter gets to count its broker's messages


def run(context: Context) -> dict[str, Any]:
    """Compare complete hours; a source that cannot be read is reported and leaves no row."""
    hour = reconciliation.last_complete_hour(context.at)
    if context.settings.mqtt_url is None:
        return {"hour": str(hour), "cloudwatch": "not configured", "broker": "not configured: set MQTT_URL"}
    if cloudwatch.is_configured(context.settings):
        return {"hour": str(hour)} | _tried(context, CLOUDWATCH, _by_cloudwatch)
    not_there = "not configured: MQTT_URL names no AWS IoT endpoint, or AWS_REGION no region"
    return {"hour": str(hour), "cloudwatch": not_there} | _tried(context, "broker", _by_broker)


def _tried(context: Context, source: str, compare: Callable[[Context], dict[str, Any]]) -> dict[str, Any]:
    try:
        return compare(context)
    except SourceUnavailable as error:
        context.fail(None, f"{source}: {error}", error.passing)
        return {source: "unknown"}


def _by_cloudwatch(context: Context) -> dict[str, Any]:
    with transaction(context.engine) as connection:
        hours = reconciliation.hours_to_compare(connection, CLOUDWATCH, context.at)
        own_counts = {hour.start: reconciliation.count_ours(connection, hour) for hour in hours}
    requests = RequestCount()
    try:
        counts = cloudwatch.read(context.settings, hours, requests)
    finally:
        context.throttles += requests.throttles
    if sum(own_counts.values()) and not any(counts.values()):
        regions = ", ".join(context.settings.aws_region)
        raise SourceUnavailable(
            f"AWS/IoT has no figures at all in {regions}, where {sum(own_counts.values())} messages were "
            "counted; correct AWS_REGION, or the account of the credentials"
        )
    aws_counts = {hour: cloudwatch.accepted(regions) for hour, regions in counts.items()}
    with transaction(context.engine) as connection:
        for hour in hours:
            compared = aws_counts[hour.start], own_counts[hour.start]
            reconciliation.record(connection, hour, CLOUDWATCH, compared, counts[hour.start], context.at)
    last = hours[-1].start
    return {"hours": len(hours), "theirs": aws_counts[last], "ours": own_counts[last]}


def _by_broker(context: Context) -> dict[str, Any]:
    if context.at < datetime.now(UTC) - timedelta(minutes=5):
        return {"broker": "its counters say nothing of the past"}
    own = sys_topics.read(context.settings)
    if own is None:
        return {"broker": f"unknown: no {sys_topics.RECEIVED} is published, or not to this user"}
    read_at = datetime.now(UTC)
    if not _caught_up(context, read_at):
        return {"broker": "unknown: no counter has counted up to now; see fleetmeter status"}
    with transaction(context.engine) as connection:
        return reconciliation.compare_broker(
            connection, own.broker, read_at, own.received, own.uptime_seconds
        )


def _caught_up(context: Context, read_at: datetime) -> bool:
    """Wait until the broker's messages at `read_at` are counted; return False if they are not."""
    until = time.monotonic() + CATCH_UP
    while time.monotonic() < until:
        with transaction(context.engine) as connection:
            counted_to = reconciliation.counted_to(connection)
        if counted_to and counted_to >= read_at:
            return True
        time.sleep(0.2)
    return False
