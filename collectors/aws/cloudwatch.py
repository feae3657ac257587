"""CloudWatch: how many PUBLISHes AWS IoT says it accepted, hour by hour and region by region.

Only a broker's own count tells whether ours lost any; it is compared, never billed.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from collectors.aws import errors
from collectors.aws.client import RequestCount, open_client
from collectors.aws.errors import FAILURES
from metering.catalogue.periods import Hour
from metering.config.aws import Place
from metering.config.settings import Settings
from metering.errors import SourceUnavailable

ACCEPTED = "PublishIn.Success"
# What AWS IoT sends out are deliveries to subscribers, ours among them: not what we count. That and
# what it refused are kept, because they explain a drift.
METRICS = (
    ACCEPTED,
    *("PublishIn.Throttle", "PublishIn.ClientError", "PublishIn.ServerError", "PublishIn.AuthError"),
    "PublishOut.Success",
)
PROTOCOLS = ("MQTT", "HTTP")  # the dimension's only values; there is no series without it
SERIES = [(metric, protocol) for metric in METRICS for protocol in PROTOCOLS]
Counted = dict[datetime, dict[str, dict[str, int]]]  # hour -> region -> metric -> messages


def is_configured(settings: Settings) -> bool:
    """True where the broker is AWS IoT Core: another broker leaves nothing in CloudWatch."""
    url = settings.mqtt_url.get_secret_value() if settings.mqtt_url else ""
    return bool(settings.aws_region) and ".iot." in url


def read(settings: Settings, hours: Sequence[Hour], tally: RequestCount) -> Counted:
    """The messages of each of `hours`, which follow each other, in each region of AWS_REGION.

    Raises SourceUnavailable: a region that fails leaves no sum, since one that is too small would look
    like messages counted twice. An hour of which AWS says nothing is empty.
    """
    found: Counted = {hour.start: {} for hour in hours}
    for region in dict.fromkeys(settings.aws_region):
        try:
            client = open_client(settings, "cloudwatch", region, tally)
            for place, moment, value in _values(client, hours, region):
                metrics = found.setdefault(Hour.of(moment).start, {}).setdefault(region, {})
                metric = SERIES[place][0]
                metrics[metric] = metrics.get(metric, 0) + round(value)
        except FAILURES as error:
            failure = errors.to_failure(error, Place("CloudWatch", region), "AWS_REGION")
            raise SourceUnavailable(failure.reason, failure.retryable) from error
    return found


def _values(client: Any, hours: Sequence[Hour], region: str) -> Iterator[tuple[int, datetime, float]]:
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[_query(place, *series) for place, series in enumerate(SERIES)],
        StartTime=hours[0].start,
        EndTime=hours[-1].start + timedelta(hours=1),
        ScanBy="TimestampAscending",
    )
    status: dict[str, str] = {}
    for page in pages:
        for result in page.get("MetricDataResults", ()):
            # A series is whole when the last page that has it says so: the ones before are partial.
            status[result["Id"]] = result.get("StatusCode", "Complete")
            for moment, value in zip(result.get("Timestamps", ()), result.get("Values", ()), strict=True):
                yield int(result["Id"][1:]), moment, value
    left = sorted({code for code in status.values() if code != "Complete"})
    if left:
        raise SourceUnavailable(
            f"CloudWatch ({region}) answered {', '.join(left)} for AWS/IoT; the next hour asks again"
        )


def _query(place: int, metric: str, protocol: str) -> dict[str, Any]:
    return {
        "Id": f"m{place}",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/IoT",
                "MetricName": metric,
                "Dimensions": [{"Name": "Protocol", "Value": protocol}],
            },
            "Period": 3600,
            "Stat": "Sum",
        },
    }
