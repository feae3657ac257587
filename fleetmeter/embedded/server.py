"""The running PostgreSQL of a cluster: start, reach, stop. The caller holds the cluster's lock."""

import os
import signal
import subprocess
import time
from contextlib import closing

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection

from fleetmeter.embedded import files, locks, ports
from fleetmeter.embedded.accounts import Account
from fleetmeter.embedded.binaries import Programs
from fleetmeter.embedded.cluster import NAME, OWNER, Cluster
from fleetmeter.embedded.errors import PostgresError, complaint

PATIENCE = 120.0  # seconds; recovery after a crash replays the writes since the checkpoint
_LAUNCHES = 3
_REFUSED = "password authentication failed"
_SETTINGS = (
    f"listen_addresses={ports.HOST}",
    "unix_socket_directories=.",  # inside the cluster: private, and short however deep it lies
    "max_connections=100",
    "log_min_messages=warning",
)


def connect(cluster: Cluster, database: str = NAME, user: str = NAME) -> Connection:
    """Connect with the password, to a server that proves that it knows the password as well.

    Raises psycopg2.OperationalError: whoever else may have taken the port is not believed.
    """
    url = cluster.superuser_url
    return psycopg2.connect(
        host=url.host,
        port=url.port,
        user=user,
        password=url.password,
        dbname=database,
        connect_timeout=2,
        require_auth="scram-sha-256",
        sslmode="disable",
        gssencmode="disable",
        application_name="fleetmeter embedded",
    )


def answers(cluster: Cluster) -> bool:
    """Return whether the cluster's own server takes a connection of the database's owner."""
    return _refusal(cluster, NAME, OWNER) is None


def _refusal(cluster: Cluster, database: str = "postgres", user: str = NAME) -> str | None:
    try:
        connect(cluster, database, user).close()
    except (psycopg2.OperationalError, PostgresError) as error:
        return str(error)
    return None


def bring_up(cluster: Cluster, account: Account, programs: Programs) -> None:
    """Start the server unless it lives, and wait for it. Raises PostgresError with its own words."""
    deadline = time.monotonic() + PATIENCE
    launches = 0
    while refusal := _refusal(cluster):
        if locks.is_held(cluster.life):
            _require_hope(cluster, refusal, deadline)
        elif launches < _LAUNCHES:
            _launch(cluster, account, programs)
            launches += 1
        else:
            raise PostgresError(_why(cluster, "does not start"))
        time.sleep(locks.POLL)


def _require_hope(cluster: Cluster, refusal: str, deadline: float) -> None:
    if _REFUSED in refusal:
        raise PostgresError(
            f"the password in {cluster.home} is not the one of the server there; put the file back "
            "as it was, or start over without its data: fleetmeter demo --reset"
        )
    if time.monotonic() > deadline:
        raise PostgresError(_why(cluster, f"did not answer within {PATIENCE:.0f} s"))


def ensure_database(cluster: Cluster) -> None:
    """Create our database and its ordinary owner, who owns every object in it, if missing."""
    _create_database(cluster)
    with closing(connect(cluster)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('fleetmeter owner'))")
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (OWNER,))
        if cursor.rowcount == 0:
            cursor.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD %s", (cluster.url.password,))
        cursor.execute(f"ALTER DATABASE {NAME} OWNER TO {OWNER}")
        cursor.execute(_GIVE_TO_OWNER)


# What an earlier version made as the superuser. Sequences and indexes follow their tables.
_GIVE_TO_OWNER = f"""
DO $body$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('ALTER TABLE %s OWNER TO {OWNER}', oid::regclass) FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
                AND relowner = current_user::regrole
        UNION ALL SELECT format('ALTER ROUTINE %s OWNER TO {OWNER}', oid::regprocedure) FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace AND proowner = current_user::regrole
    LOOP
        EXECUTE command;
    END LOOP;
END $body$
"""


def _create_database(cluster: Cluster) -> None:
    connection = connect(cluster, "postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (NAME,))
            if cursor.rowcount == 0:
                cursor.execute(f"CREATE DATABASE {NAME}")
    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
        pass  # a starter that was killed left the server at it
    finally:
        connection.close()


def halt(cluster: Cluster) -> bool:
    """Stop the server and wait until its last process is gone; False when none lives.

    Raises PostgresError when it does not answer (it recovers) or does not end in time.
    """
    deadline = time.monotonic() + PATIENCE
    signalled = False
    lived = locks.is_held(cluster.life)
    while locks.is_held(cluster.life):
        # The noted process id is believed only of a server that answers: any other may be reused.
        if not signalled and _speaks(cluster) and cluster.pid:
            os.kill(cluster.pid, signal.SIGINT)
            signalled = True
        if time.monotonic() > deadline:
            raise PostgresError(_why(cluster, f"did not stop within {PATIENCE:.0f} s"))
        time.sleep(locks.POLL)
    return lived


def _speaks(cluster: Cluster) -> bool:
    refusal = _refusal(cluster)
    return refusal is None or _REFUSED in refusal


def _launch(cluster: Cluster, account: Account, programs: Programs) -> None:
    port = ports.choose_port(cluster.port)
    _clear_traces(cluster)
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    command = [programs.path("postgres"), "-D", account.name_for(cluster.data), "-p", str(port)]
    with locks.exclusive(cluster.life, patience=1) as life, open(files.fresh_log(cluster.log), "ab") as log:
        # A shell that leaves at once: the server is nobody's child, so no Ctrl-C and no end of its
        # starter reaches it, and killed it leaves no zombie whose process id seems alive.
        subprocess.run(
            ["/bin/sh", "-c", '"$0" "$@" &', *command, *settings],
            **(account.popen | {"cwd": cluster.data, "pass_fds": (life,)}),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _clear_traces(cluster: Cluster) -> None:
    """Remove a dead server's files: its process id may belong to another process now."""
    for trace in (cluster.data / "postmaster.pid", *cluster.data.glob(".s.PGSQL.*")):
        trace.unlink(missing_ok=True)


def _why(cluster: Cluster, what: str) -> str:
    output = cluster.log.read_text(errors="replace") if cluster.log.exists() else ""
    return f"the embedded PostgreSQL in {cluster.data} {what} ({complaint(output)}); see {cluster.log}"
