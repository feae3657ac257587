"""Check the broker that the counter uses."""

from collections.abc import Iterator

from fleetmeter.doctor.finding import Finding
from metering.config.settings import Settings


def broker(settings: Settings) -> Iterator[Finding]:
    """Check whether the counter can log in to its broker and rely on it."""
    from collectors.mqtt.diagnostics import checks  # noqa: PLC0415 - a slow import that few commands need

    if settings.mqtt_url is None:
        yield Finding("broker", True, "MQTT_URL is not set: `up` and `demo` bring their own broker")
        return
    for answer in checks.examine(settings):
        yield Finding(*answer)
