"""Choose the client id under which this installation counts."""

import socket

from sqlalchemy import Connection, text

from metering.config.settings import Settings

FORMER_DEFAULT = "fleetmeter-counter"

# An installation that has counted under the former default keeps it until it is moved or retired: the
# broker holds messages for it.
DEFAULT = text("""
    SELECT coalesce((SELECT client_id FROM mqtt_sessions WHERE client_id = :former
        AND session_started_at IS NOT NULL AND retired_at IS NULL), client_id) FROM installation""")


def resolve(connection: Connection, settings: Settings) -> str:
    """Return MQTT_CLIENT_ID, or else this installation's own client id.

    A member of a shared group adds its host's name, so that it finds its session again.
    """
    if settings.mqtt_client_id:
        return settings.mqtt_client_id
    own = str(connection.scalar(DEFAULT, {"former": FORMER_DEFAULT}))
    return f"{own}-{socket.gethostname()}" if settings.mqtt_shared_group else own
