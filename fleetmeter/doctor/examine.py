"""Run every check, in the order in which one explains the next."""

from datetime import datetime

from fleetmeter.doctor.broker import broker
from fleetmeter.doctor.clocks import clocks
from fleetmeter.doctor.counters import counters
from fleetmeter.doctor.database import database, role
from fleetmeter.doctor.finding import Finding
from fleetmeter.doctor.periods import closes, snapshots
from fleetmeter.doctor.refresh import hourly
from metering.config.settings import Settings
from metering.db.engine import open_engine
from metering.db.transactions import transaction


def examine(settings: Settings, at: datetime) -> list[Finding]:
    """Return the findings of every check; `at` is now, by this host's clock."""
    settings, findings = database(settings)
    if not all(finding.ok for finding in findings):
        return findings
    engine = open_engine(settings, "fleetmeter doctor")
    findings.extend(broker(settings))
    with transaction(engine) as connection:
        findings.append(role(connection))
        findings.extend(clocks(connection, settings, at))
        for check in (counters, hourly, snapshots, closes):
            findings.extend(check(connection, settings, at))
    return findings
