"""Read from CloudWatch how many PUBLISHes AWS IoT accepted, by hour and region.

Only a broker's own count tells whether ours lost messages; it is compared, never billed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from collectors.aws import errors
from collectors.aws.client import RequestCount, open_client
from collectors.aws.errors import FAILURES
from collectors.aws.malformed import MALFORMED, MalformedAnswer, list_of, text_of
from metering.catalogue.periods import Hour
from metering.config.aws import Place
from metering.config.settings import Settings
from metering.errors import SourceUnavailable

ACCEPTED = "PublishIn.Success"
# PublishOut counts deliveries to subscribers, us among them; we count messages. It is recorded
# with the refused ones, because both explain a drift: a throttled delivery may never reach us.
METRICS = (
    ACCEPTED,
    *("PublishIn.Throttle", "PublishIn.ClientError", "PublishIn.ServerError", "PublishIn.AuthError"),
    *("PublishOut.Success", "PublishOut.Throttle"),
)
PROTOCOLS = ("MQTT", "HTTP")  # the dimension's only values; there is no series without it
SERIES = [(metric, protocol) for metric in METRICS for protocol in PROTOCOLS]
HourlyCounts = dict[datetime, dict[str, dict[str, int]]]  # hour -> region -> metric -> messages


def is_configured(settings: Settings) -> bool:
    """Return whether the broker is AWS IoT Core; no other broker has figures in CloudWatch."""
    url = settings.mqtt_url.get_secret_value() if settings.mqtt_url else ""
    return bool(settings.aws_region) and ".iot." in url


def read(settings: Settings, hours: Sequence[Hour], requests: RequestCount) -> HourlyCounts:
    """Return AWS IoT's figures of consecutive `hours` in each region of AWS_REGION.

    An hour of which AWS says nothing is empty. Raises SourceUnavailable when one region fails, because
    a sum without it would be too small and look like messages counted twice.
    """
    counts: HourlyCounts = {hour.start: {} for hour in hours}
    for region in dict.fromkeys(settings.aws_region):
        try:
            client = open_client(settings, "cloudwatch", region, requests)
            for metric, instant, value in _values(client, hours, region):
                metrics = counts.setdefault(Hour.of(instant).start, {}).setdefault(region, {})
                metrics[metric] = metrics.get(metric, 0) + value
        except (*FAILURES, *MALFORMED) as error:
            failure = errors.to_failure(error, Place("CloudWatch", region), "AWS_REGION")
            raise SourceUnavailable(failure.reason, failure.retryable) from error
    return counts


def accepted(regions: Mapping[str, Mapping[str, int]]) -> int | None:
    """Return the messages that AWS accepted in an hour; None where it has no figure."""
    if not any(regions.values()):
        return None
    return sum(metrics.get(ACCEPTED, 0) for metrics in regions.values())


def _values(client: Any, hours: Sequence[Hour], region: str) -> Iterator[tuple[str, datetime, int]]:
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[_query(number, *series) for number, series in enumerate(SERIES)],
        StartTime=hours[0].start,
        EndTime=hours[-1].start + timedelta(hours=1),
        ScanBy="TimestampAscending",
    )
    status: dict[str, str] = {}
    for page in pages:
        for result in list_of(page, "MetricDataResults", required=False):
            series = text_of(result, "Id")
            # A series is complete when the last page that has it says so: the ones before are partial.
            status[series] = result.get("StatusCode") or "Complete"
            instants, values = result.get("Timestamps") or (), result.get("Values") or ()
            for instant, value in zip(instants, values, strict=True):
                yield SERIES[int(series[1:])][0], instant, _whole_number(value)
    incomplete = sorted({code for code in status.values() if code != "Complete"})
    if incomplete:
        raise SourceUnavailable(
            f"CloudWatch ({region}) answered {', '.join(incomplete)} for AWS/IoT; the next hour asks again"
        )


def _whole_number(value: float) -> int:
    number = round(value)
    if number < 0:
        raise MalformedAnswer(f"a count is {value}")
    return number


def _query(number: int, metric: str, protocol: str) -> dict[str, Any]:
    return {
        "Id": f"m{number}",
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
