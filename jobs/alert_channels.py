"""The channels that alerts are sent to: addresses of apprise, and a topic of SNS."""

import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

import apprise

from collectors.aws import sns
from metering.config.settings import Settings
from metering.errors import DeliveryFailed, SettingsError

# Its own log would print addresses, and they hold passwords.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class Channel:
    """A destination of messages. `name` is stored and shown: the kind and a digest, no secret."""

    name: str
    send: Callable[[str, str], None]


def configured(settings: Settings) -> list[Channel]:
    """Return the configured channels. Raises SettingsError for an address of an unknown service."""
    channels = [_apprise(place, address) for place, address in enumerate(_addresses(settings), 1)]
    if settings.alert_sns_topic_arn:
        arn = settings.alert_sns_topic_arn
        channels.append(Channel(_name("sns", arn), lambda *message: sns.publish(settings, arn, *message)))
    return channels


def _addresses(settings: Settings) -> list[str]:
    return settings.alert_urls.get_secret_value().split() if settings.alert_urls else []


def _apprise(place: int, address: str) -> Channel:
    target = apprise.Apprise.instantiate(address, suppress_exceptions=True)
    scheme = re.match(r"[a-zA-Z0-9]*", address)
    kind = scheme[0] if scheme else ""
    if target is None:
        raise SettingsError(
            f"FLEETMETER_ALERT_URLS: address {place} ({kind}:…) is none that apprise knows; takes "
            "addresses like mailtos://…, slack://…, json://…, separated by spaces"
        )

    def send(title: str, body: str) -> None:
        try:
            is_accepted = target.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
        except Exception as error:  # an error of apprise's plugin ends no runner
            raise DeliveryFailed(f"{kind} failed: {type(error).__name__}") from error
        if not is_accepted:
            raise DeliveryFailed(f"{kind} did not take the message; check its address and the network")

    return Channel(_name(kind, address), send)


def _name(kind: str, address: str) -> str:
    return f"{kind}:{hashlib.sha256(address.encode()).hexdigest()[:8]}"
