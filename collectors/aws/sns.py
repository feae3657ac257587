"""Alerts through Amazon SNS, for the subscribers of the topic."""

from collectors.aws import errors
from collectors.aws.client import open_client
from collectors.aws.errors import FAILURES
from metering.config.aws import Place
from metering.config.settings import Settings
from metering.errors import DeliveryFailed

SUBJECT = 100  # characters, and ASCII only: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html


def publish(settings: Settings, topic_arn: str, title: str, body: str) -> None:
    """Publish to the topic, in the region that its ARN names. Raises DeliveryFailed."""
    client = open_client(settings, "sns", region=topic_arn.split(":")[3])
    subject = title.encode("ascii", "replace").decode()[:SUBJECT]
    try:
        client.publish(TopicArn=topic_arn, Subject=subject, Message=body)
    except FAILURES as error:
        reason = errors.to_failure(error, Place(topic_arn), "FLEETMETER_ALERT_SNS_TOPIC_ARN")
        raise DeliveryFailed(f"SNS did not take it: {reason}") from error
