"""CloudWatch: how many PUBLISHes AWS IoT says it accepted in an hour, summed over the regions.

Only a broker's own count tells whether ours lost any; it is compared, never billed.
"""

from datetime import timedelta
from typing import Any

from collectors import aws
from metering.errors import SourceUnavailable
from metering.periods import Hour
from metering.settings import Settings

METRICS = ("PublishIn.Success", "PublishOut.Success")
Counted = dict[str, dict[str, int]]  # region -> metric -> messages of the hour


def is_configured(settings: Settings) -> bool:
    """True where the broker is AWS IoT Core: another broker leaves nothing in CloudWatch."""
    url = settings.mqtt_url.get_secret_value() if settings.mqtt_url else ""
    return bool(settings.aws_region) and ".iot." in url


def read(settings: Settings, hour: Hour, tally: aws.Tally) -> Counted:
    """The messages of `hour` in each region of AWS_REGION. Raises one of aws.FAILURES, or SourceUnavailable.

    A region that fails leaves no sum: one that is too small would look like messages counted twice.
    """
    return {
        region: _messages(aws.client(settings, "cloudwatch", region, tally), hour)
        for region in settings.aws_region
    }


def _messages(client: Any, hour: Hour) -> dict[str, int]:
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[_query(place, metric) for place, metric in enumerate(METRICS)],
        StartTime=hour.start,
        EndTime=hour.start + timedelta(hours=1),
    )
    found = dict.fromkeys(METRICS, 0.0)
    for page in pages:
        for result in page.get("MetricDataResults", ()):
            if result.get("StatusCode") not in ("Complete", "PartialData"):
                raise SourceUnavailable(f"CloudWatch answered {result.get('StatusCode')} for AWS/IoT")
            found[METRICS[int(result["Id"][1:])]] += sum(result.get("Values", ()))
    return {metric: round(value) for metric, value in found.items()}


def _query(place: int, metric: str) -> dict[str, Any]:
    # Each protocol is a series of its own, and there is none without that dimension.
    search = f"SEARCH('{{AWS/IoT,Protocol}} MetricName=\"{metric}\"', 'Sum', 3600)"
    return {"Id": f"m{place}", "Expression": f"SUM({search})", "ReturnData": True}
