"""`broker-acl`: the access list of mosquitto's device listener."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fleetmeter import broker_acl as acl
from fleetmeter import environment
from metering.catalogue import platform
from metering.db.transactions import read_snapshot

PUBLISHED = ",".join(acl.PUBLISHED)
Publish = Annotated[str, typer.Option(help="The levels after the device on which devices publish.")]
By = Annotated[acl.NameOf, typer.Option(help="What certificates and topics call a device.")]
Output = Annotated[Path | None, typer.Option(help="A file; default: standard output.")]


def broker_acl(publish: Publish = PUBLISHED, by: By = "id", output: Output = None) -> None:
    """Write mosquitto's access list for devices; exit 1 if a device is left out."""
    settings = environment.load()
    with read_snapshot(environment.engine(settings)) as connection:
        devices = platform.devices(connection)
    listed = acl.usable(devices, by)
    levels = [level.strip() for level in publish.split(",")]
    pieces = acl.lines(listed, settings.mqtt_topic_root, levels, settings.mqtt_outbound_levels, by)
    if output is None:
        sys.stdout.writelines(pieces)
    else:
        output.write_text("".join(pieces), encoding="utf-8")
    if left_out := len(devices) - len(listed):
        typer.echo(
            f"{left_out} of {len(devices)} devices are left out: another device has their name, or it holds "
            "other characters than letters, digits and . _ : -",
            err=True,
        )
        raise typer.Exit(1)
