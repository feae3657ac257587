"""The commands that run until they are stopped: up, demo, counter, runner, console, drill."""

import gc
import os
from typing import Annotated

import typer

from fleetmeter import environment, schema
from fleetmeter.cli import terminal
from fleetmeter.cli.options import Port
from fleetmeter.cli.process import stop_on_signals
from fleetmeter.extras import require_extra
from metering.config.settings import load_settings
from metering.config.value_files import override
from metering.db.engine import open_engine

OUT = terminal.stdout()
MetricsPort = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Serve /healthz, /readyz and /metrics on this port.")
]


def up(port: Port = 8501) -> None:
    """Run counter, runner and console on this machine, until Ctrl-C."""
    from fleetmeter import up as supervisor  # noqa: PLC0415 - the command has the same name

    settings = environment.load_or_start()
    schema.migrate(open_engine(settings))
    embedded = load_settings().embedded_database
    supervisor.run(settings, embedded, port, [], stop_on_signals())


def demo(
    reset: Annotated[bool, typer.Option("--reset", help="Start over with an empty demo.")] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The console's port; default the first free one from 8501 on."),
    ] = None,
    env: Annotated[
        bool,
        typer.Option("--env", help='Print how to talk to a running demo: eval "$(fleetmeter demo --env)".'),
    ] = False,
) -> None:
    """Run everything with a simulated fleet and 13 months of history, until Ctrl-C."""
    if env:
        from fleetmeter.demo import running  # noqa: PLC0415 - few commands need it

        OUT.file.write(running.exports(load_settings().data_dir))
        return
    require_extra("demo", "moto", "the demo")
    from fleetmeter.demo.show import run as demonstrate  # noqa: PLC0415 - loads the simulated cloud

    demonstrate(reset, port, stop_on_signals())


def counter(metrics_port: MetricsPort = None) -> None:
    """Count MQTT messages until stopped; stands by while another daemon counts."""
    from collectors.mqtt import daemon  # noqa: PLC0415 - a slow import that few commands need

    settings = environment.load_or_start()
    if metrics_port:
        settings = settings.model_copy(update={"counter_metrics_port": metrics_port})
    engine = environment.patient_engine(settings, "fleetmeter counter")
    plain = settings.mqtt_reader == "plain"
    gc.freeze()  # imported objects stay; collecting them again and again costs a tenth of the CPU
    raise typer.Exit(daemon.run(settings, engine, stop_on_signals(), plain=plain))


def runner(metrics_port: MetricsPort = None) -> None:
    """Run due and requested jobs until stopped."""
    from jobs import runner as job_runner  # noqa: PLC0415 - a slow import that few commands need

    settings = environment.load_or_start()
    if metrics_port:
        settings = settings.model_copy(update={"runner_metrics_port": metrics_port})
    job_runner.run(settings, environment.patient_engine(settings, "fleetmeter runner"), stop_on_signals())


def console(port: Port = 8501) -> None:
    """Serve the console: on loopback, or where FLEETMETER_CONSOLE_ADDRESS says once people sign in."""
    from console import server  # noqa: PLC0415 - a slow import that few commands need

    settings = environment.load_or_start()
    environment.engine(settings).dispose()
    database_url = settings.database.render_as_string(hide_password=False)
    command = server.command(port, settings)
    os.execve(command[0], command, override(os.environ, {"DATABASE_URL": database_url}))  # noqa: S606 - the console takes this process's place


def api(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The API's port.")] = 8502,
) -> None:
    """Serve the HTTP API alone: on loopback, or where FLEETMETER_API_ADDRESS says. It takes tokens only."""
    from api import server  # noqa: PLC0415 - a slow import that few commands need

    settings = environment.load_or_start()
    environment.engine(settings).dispose()
    server.serve(settings, port)


def drill(
    minutes: Annotated[float, typer.Option(min=0.1)] = 5.0,
    seed: int = 1,
    daemons: Annotated[int, typer.Option(min=1, max=16, help="More than one form a shared group.")] = 1,
) -> None:
    """Publish known counts, kill and cut at random, compare: on a scratch database and broker."""
    from fleetmeter.drill import drill as exercise  # noqa: PLC0415 - a slow import that few commands need

    raise typer.Exit(exercise.run(environment.load_or_start(), minutes, seed, daemons))
