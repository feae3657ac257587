"""`fleetmeter runner` on a host whose clock is off by as many seconds as the file says: for the drills."""

import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from fleetmeter.cli import main as cli
from jobs import runner
from jobs.tasks import notify

SHIFT = Path(sys.argv[1])


class Clock(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(seconds=float(SHIFT.read_text()))


runner.datetime = notify.datetime = Clock  # type: ignore[misc,attr-defined]
sys.argv = ["fleetmeter", "runner"]
cli.main()
