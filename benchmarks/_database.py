"""The benchmarks' database: the embedded one, whose owner may fill it without checking each row."""

from pathlib import Path

from sqlalchemy import URL, create_engine, text

from fleetmeter.embedded import postgres


def start(folder: Path) -> URL:
    """Return the URL of that folder's database, whose owner may switch triggers off."""
    url = postgres.ensure_running(folder)
    engine = create_engine(postgres.superuser_url(folder))
    with engine.begin() as connection:
        connection.execute(text(f"GRANT SET ON PARAMETER session_replication_role TO {url.username}"))
    engine.dispose()
    return url
