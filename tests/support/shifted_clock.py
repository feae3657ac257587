"""`fleetmeter …` on a host whose clock is off by as many seconds as a file says: FILE COMMAND …."""

import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from fleetmeter import environment
from fleetmeter.cli import main as cli
from jobs import notify, runner

SHIFT = Path(sys.argv[1])


class Clock(datetime):
    """The host's clock, shifted."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(seconds=float(SHIFT.read_text()))


runner.datetime = notify.datetime = environment.datetime = Clock  # type: ignore[misc,attr-defined]
sys.argv = ["fleetmeter", *sys.argv[2:]]
cli.main()
