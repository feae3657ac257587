"""Choose the client id under which this installation counts."""

import socket

from sqlalchemy import Connection, text

from metering.config.settings import Settings
from metering.errors import MoveFailed
from metering.ledger import sessions

FORMER_DEFAULT = "fleetmeter-counter"

# An installation that has counted under the former default keeps it until it is moved or retired: the
# broker holds messages for it.
DEFAULT = text("""
    SELECT coalesce((SELECT client_id FROM mqtt_sessions WHERE client_id = :former
        AND session_started_at IS NOT NULL AND retired_at IS NULL), client_id) FROM installation""")


def after(connection: Connection, settings: Settings, old_id: str) -> str:
    """Return the client id that follows `old_id` once that is moved. Raises MoveFailed."""
    if settings.mqtt_client_id == old_id:
        raise MoveFailed(f"MQTT_CLIENT_ID still names {old_id}; unset it or name the new id, then move")
    if settings.mqtt_client_id:
        return settings.mqtt_client_id
    own = str(connection.scalar(text("SELECT client_id FROM installation")))
    new = sessions.new_client_id() if own == old_id else own
    return f"{new}-{socket.gethostname()}" if settings.mqtt_shared_group else new


def resolve(connection: Connection, settings: Settings) -> str:
    """Return MQTT_CLIENT_ID, or else this installation's own client id.

    A member of a shared group adds its host's name, so that it finds its session again.
    """
    if settings.mqtt_client_id:
        return settings.mqtt_client_id
    own = str(connection.scalar(DEFAULT, {"former": FORMER_DEFAULT}))
    return f"{own}-{socket.gethostname()}" if settings.mqtt_shared_group else own
