"""Settings of PostgreSQL: a URL, or its parts; without either, PostgreSQL runs in the data folder."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

DRIVER = "postgresql+psycopg2"  # SQLAlchemy 2.1 would take plain postgresql:// for psycopg 3


class DatabaseSettings(BaseSettings):
    """The database's address, and the size of a process's pool."""

    database_url: SecretStr | None = None
    db_host: str | None = None
    db_port: int = Field(default=5432, ge=1, le=65535)
    db_name: str = "conduit"
    db_user: str = "conduit"
    db_password: SecretStr = SecretStr("conduit")
    db_pool_size: int = Field(default=5, ge=1, le=100, alias="FLEETMETER_DB_POOL_SIZE")

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        takes = "takes postgresql://user:password@host:5432/name"
        try:
            url = make_url(value.get_secret_value())
        except (ArgumentError, ValueError):
            raise ValueError(takes) from None  # its message may hold a part of the password
        if url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
            raise ValueError(takes)
        if "@" in f"{url.host}{url.database}":
            raise ValueError(f"{takes}; write an @ in the password as %40")
        return value

    @property
    def embedded_database(self) -> bool:
        """Return whether PostgreSQL runs in the data folder: neither DATABASE_URL nor any DB_* is set."""
        return self.database_url is None and not (
            {"db_host", "db_port", "db_name", "db_user", "db_password"} & self.model_fields_set
        )

    @property
    def database(self) -> URL:
        """Return the URL of PostgreSQL; it prints with the password hidden."""
        if self.database_url is not None:
            url = make_url(self.database_url.get_secret_value())
            return url if "+" in url.drivername else url.set(drivername=DRIVER)
        return URL.create(
            DRIVER,
            username=self.db_user,
            password=self.db_password.get_secret_value(),
            host=self.db_host or "localhost",
            port=self.db_port,
            database=self.db_name,
        )
