"""A fleet for the console's tests: real days sealed, a real month closed, three days missing."""

import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import URL, Engine, text

from console import server
from metering.catalogue.periods import Day, Month, days
from metering.config.settings import Settings
from metering.days.seal import seal_through
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.ledger.partitions import ensure_partition
from metering.months.close import close_month
from metering.pricing import plans
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.until import until

SCRIPT = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"
FORMULA = "=cmd|' /C calc'!A0"
RIGHT_TO_LEFT = "مشروع \u202eevil"
LONG = "n" * 5_000
EMOJI = "🤖 **bold** [a](http://x) $x^2$"
HOSTILE = (SCRIPT, FORMULA, RIGHT_TO_LEFT, LONG, EMOJI)


@dataclass(frozen=True)
class Fleet:
    """Ids of the projects, the days that the last one misses, and the closed month."""

    projects: tuple[int, ...]
    missing: tuple[Day, ...]
    closed: Month


def fill(engine: Engine, at: datetime | None = None, quiet: bool = False) -> Fleet:
    """Fill the database with a closed month and sealed days.

    The month before `at` (default: now) is closed. The days since then are sealed, except up to three of
    the last project; with `quiet` those are sealed too.
    """
    at = at or datetime.now(UTC)
    platform = Platform(engine)
    today, month = Day.of(at), Month.of(at).previous()
    platform.sql("ALTER TABLE audit_log DISABLE TRIGGER USER")
    platform.sql("UPDATE audit_log SET at = :at WHERE action = 'install'", at=month.start)
    platform.sql("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_sealed")
    platform.sql("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_kept")
    platform.sql("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_guarded")
    organization = platform.organization("starter", name=SCRIPT)
    projects = tuple(
        platform.project(organization, created_at=month.start.isoformat(), name=name) for name in HOSTILE
    )
    platform.sql(
        "INSERT INTO mqtt_sessions (client_id, session_started_at, last_seen_at, connected)"
        " VALUES ('counter', :start, now() + interval '1 hour', true)",
        start=month.start,
    )
    missing = () if quiet else tuple(Day(today.date - timedelta(days=n)) for n in (7, 5, 4))
    for day in days(month.first, today):
        live(engine, day, today, organization, projects, missing, at)
    return Fleet(projects, tuple(day for day in missing if Month.of(day.start) != month), month)


def live(
    engine: Engine,
    day: Day,
    today: Day,
    organization: int,
    projects: tuple[int, ...],
    missing: tuple[Day, ...],
    at: datetime,
) -> None:
    with engine.begin() as connection:
        ensure_partition(connection, Month.of(day.start))
        usage = {
            (organization, project): MqttUsage(1000 * number + day.date.day, 10, 5000, 50, "t")
            for number, project in enumerate(projects, 1)
        }
        add_mqtt(connection, usage, day.start if day == today else day.start + timedelta(hours=9))
        if day == today:
            return
        if day in missing and Month.of(day.start) == Month.of(at):
            connection.execute(
                text("UPDATE project_stats SET open_from = :end WHERE project_id = :id"),
                {"end": day.end, "id": projects[-1]},
            )
        seal_through(connection, day, projects, day.end)
        if day == Month.of(at).previous().last:
            close_month(connection, Month.of(day.start), projects, plans.load(None), at, "schedule")


@contextmanager
def serving(
    url: URL,
    port: int | None = None,
    log: Path = Path(os.devnull),
    folder: Path | None = None,
    **environment: str,
) -> Iterator[str]:
    """Serve the console and yield its address.

    It starts as `fleetmeter console` does in `folder`, on a free port if none is given.
    """
    port = port or free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    variables = {"DATABASE_URL": url.render_as_string(hide_password=False), **environment}
    command = server.command(port, Settings(**environment))  # type: ignore[arg-type]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=inherited | variables, stdout=output, stderr=subprocess.STDOUT, cwd=folder
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _await_server(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _await_server(address: str, process: "subprocess.Popen[bytes]") -> None:
    until(lambda: process.poll() is not None or answer(f"{address}/healthz")[1] == "ok\n", 150, pause=0.1)
    assert process.poll() is None, f"the console at {address} ended by itself"


def answer(address: str, **headers: str) -> tuple[int, str]:
    """Return the status and body of a GET.

    They are 0 and "" when nothing listens.
    """
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""
