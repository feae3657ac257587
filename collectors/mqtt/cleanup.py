"""Remove the session of a counter that is given up, so that the broker stops queueing messages for it."""

from contextlib import suppress

from collectors.mqtt import endpoint
from collectors.mqtt.diagnostics.probe_client import ConnectionRefused, ProbeClient
from metering.config.settings import Settings


def remove_session(settings: Settings, client_id: str) -> bool:
    """Have the broker of MQTT_URL forget `client_id`; return whether it did."""
    if settings.mqtt_url is None:
        return False
    for v5 in (True, False):
        with suppress(OSError, ConnectionRefused):
            broker = endpoint.from_settings(settings, client_id)
            ProbeClient(broker, client_id, v5, clean=True).disconnect()
            return True
    return False
