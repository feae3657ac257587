"""The platform's side of a test: organizations, projects and what their robots did."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

LONG_AGO = "2023-06-01T00:00:00Z"  # before the installation, which the template dates 2024-01-01


@dataclass
class Platform:
    engine: Engine

    def installed(self, at: datetime | str) -> None:
        """Make `at` the instant of the installation."""
        self.sql("ALTER TABLE audit_log DISABLE TRIGGER USER")
        self.sql("UPDATE audit_log SET at = :at WHERE action = 'install'", at=at)
        for trigger in ("sealed", "kept", "guarded"):
            self.sql(f"ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_{trigger}")

    def organization(self, tier: str = "free", name: str = "Acme") -> int:
        return self._insert("organizations", name=name, tier=tier, created_at=LONG_AGO)

    def project(
        self,
        organization_id: int | None = None,
        created_at: datetime | str = LONG_AGO,
        **columns: Any,
    ) -> int:
        organization_id = organization_id or self.organization()
        row = {"name": "Fleet"} | columns
        return self._insert("projects", organization_id=organization_id, created_at=created_at, **row)

    def deactivate(self, project_id: int, at: datetime) -> None:
        self.sql(
            "UPDATE projects SET is_active = false, deactivated_at = :at WHERE id = :id",
            at=at,
            id=project_id,
        )

    def logs(self, project_id: int, at: datetime, count: int = 1, size_bytes: int = 100) -> None:
        self.sql(
            """INSERT INTO logs (project_id, size_bytes, created_at)
            SELECT :id, :size, :at FROM generate_series(1, :count)""",
            id=project_id,
            size=size_bytes,
            at=at,
            count=count,
        )

    def transfer(self, project_id: int, kind: str, size: int, at: datetime) -> None:
        self._insert("data_transfers", project_id=project_id, kind=kind, bytes=size, created_at=at)

    def sql(self, statement: str, **parameters: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), parameters)

    def rows(self, statement: str, **parameters: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), parameters))

    def scalar(self, statement: str, **parameters: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.scalar(text(statement), parameters)

    def _insert(self, table: str, **row: Any) -> int:
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        with self.engine.begin() as connection:
            statement = f"INSERT INTO {table} ({names}) VALUES ({values}) RETURNING id"
            return int(connection.scalar(text(statement), row) or 0)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)
