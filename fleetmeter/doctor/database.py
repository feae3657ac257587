"""Check the database: reachable, migrated, its role bound by triggers and row-level security."""

from sqlalchemy import Connection, text

from fleetmeter import environment, schema
from fleetmeter.doctor.finding import Finding
from metering.config.settings import Settings
from metering.db.engine import open_engine
from metering.db.schema_head import HEAD
from metering.db.transactions import transaction
from metering.errors import FleetmeterError

_SERVER = text("""
    SELECT current_setting('server_version'), coalesce((SELECT ssl FROM pg_stat_ssl
        WHERE pid = pg_backend_pid()), false), coalesce(inet_server_addr() <<= '127.0.0.0/8'
        OR inet_server_addr() = '::1', true)""")


def database(settings: Settings) -> tuple[Settings, list[Finding]]:
    """Check settings and database, which every other check needs; return both with the findings."""
    checked = "database"
    try:
        if settings.embedded_database:
            settings = environment.load()
        engine = open_engine(settings, "fleetmeter doctor")
        with transaction(engine) as connection:
            findings = [_server(connection, engine.url.host)]
        checked = "schema"
        schema.require_head(engine)
        findings.append(Finding(checked, True, f"at head, {HEAD}"))
        with transaction(engine) as connection:
            findings.append(organizations(connection, settings))
        return settings, findings
    except FleetmeterError as error:
        return settings, [Finding(checked, False, str(error))]


def _server(connection: Connection, host: str | None) -> Finding:
    version, encrypted, local = connection.execute(_SERVER).one()
    secured = "over TLS" if encrypted else "not encrypted"
    exposed = not encrypted and not local
    advice = (
        "everybody on the way can read along: add ?sslmode=verify-full to DATABASE_URL" if exposed else ""
    )
    return Finding("database", True, f"PostgreSQL {version} at {host}, {secured}", advice)


def organizations(connection: Connection, settings: Settings) -> Finding:
    """Check that PostgreSQL keeps organizations apart, where their own people sign in."""
    enforced = connection.scalar(text("SELECT row_security_active('project_stats')"))
    needed = settings.sign_in and (settings.organization_claim or settings.organization_viewers)
    sentence = (
        "row-level security binds this role" if enforced else "row-level security does not bind this role"
    )
    advice = "" if enforced else "let DATABASE_URL name a role that is no superuser and has no BYPASSRLS"
    if not enforced:
        sentence += ", so that the console serves no organization's own people"
    return Finding("organizations", bool(enforced or not needed), sentence, advice if needed else "")


def role(connection: Connection) -> Finding:
    """Check whether the triggers on sealed tables bind the role of this session."""
    name, owns = connection.execute(
        text("""
            SELECT current_user, bool_or(pg_has_role(current_user, relowner, 'USAGE')) FROM pg_class
            WHERE oid = ANY (ARRAY['daily_stats', 'monthly_stats', 'audit_log']::regclass[])""")
    ).one()
    if not owns:
        return Finding("role", True, f"{name} owns no sealed table: their triggers bind it")
    return Finding(
        "role",
        True,
        f"{name} owns the sealed tables: triggers do not bind the owner of a table, who can switch them off",
        "run counter, runner, console and api as fleetmeter_writer: deploy/roles/owner.sql says how",
    )
