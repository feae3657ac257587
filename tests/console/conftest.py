"""A console page in the test's own process, over a real database."""

import gc
import pkgutil
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import pytest
import streamlit as st
from playwright.sync_api import Browser, BrowserContext, Error, Page
from sqlalchemy import URL, Connection, Engine, create_engine, text
from streamlit.testing.v1 import AppTest

from jobs import runner
from metering.config import settings
from metering.config.settings import load_settings
from metering.db.engine import engine_of
from tests.support import two_tenants
from tests.support.browser import PATIENCE, chromium
from tests.support.browser_site import Site
from tests.support.fleet import Fleet, fill, serving
from tests.support.oidc_console import Guarded, guarding
from tests.support.people import PROVIDER
from tests.support.two_tenants import TwoTenants
from tests.support.until import until

Open = Callable[..., AppTest]


@pytest.fixture(scope="session", autouse=True)
def frozen_imports() -> Iterator[None]:
    """Streamlit looks for garbage after each run of a script; not in what was loaded for good."""
    from console import layout, views

    for module in pkgutil.iter_modules(views.__path__, f"{views.__name__}."):
        import_module(module.name)
    assert layout
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def same_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page takes the place of `__main__`, which a process that is forked later would run again."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def changing_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process's environment is read once; a test's changes under it."""
    monkeypatch.setattr(settings, "settings_of", lambda _file: load_settings())


@pytest.fixture(scope="session")
def filled(server: URL, admin: Connection, template: str) -> Iterator[tuple[str, Fleet]]:
    """A database with a fleet in it, to copy; filling one takes seconds."""
    name = f"fleet_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    engine = create_engine(server.set(database=name), connect_args={"options": "-c timezone=UTC"})
    fleet = fill(engine)
    engine.dispose()
    yield name, fleet
    admin.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def url(request: pytest.FixtureRequest, server: URL, admin: Connection, template: str) -> Iterator[URL]:
    """A migrated database: with a fleet in it for a test that asks for one."""
    source = template
    if "fleet" in request.fixturenames:
        source = request.getfixturevalue("filled")[0]
    if "rivals" in request.fixturenames:
        source = request.getfixturevalue("rivalry")[0]
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{source}"'))
    yield server.set(database=name)
    admin.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def fleet(filled: tuple[str, Fleet]) -> Fleet:
    return filled[1]


@pytest.fixture(scope="session")
def rivalry(server: URL, admin: Connection, filled: tuple[str, Fleet]) -> Iterator[tuple[str, TwoTenants]]:
    """A copy of it in which another organization's fleet lives beside the first."""
    name = f"rivals_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{filled[0]}"'))
    engine = create_engine(server.set(database=name), connect_args={"options": "-c timezone=UTC"})
    rivals = two_tenants.add_rival(engine, filled[1])
    engine.dispose()
    yield name, rivals
    admin.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def rivals(rivalry: tuple[str, TwoTenants]) -> TwoTenants:
    return rivalry[1]


@pytest.fixture
def signing_in(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Turns sign-in on, with those settings of it."""

    def turn_on(**settings: str) -> None:
        for name, value in (PROVIDER | settings).items():
            monkeypatch.setenv(name, value)

    return turn_on


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@contextmanager
def copied(server: URL, admin: Connection, template: str) -> Iterator[tuple[URL, Engine]]:
    """A database of a module's own, made after that one."""
    name = f"site_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    url = server.set(database=name)
    engine = create_engine(url, connect_args={"options": "-c timezone=UTC"})
    yield url, engine
    engine.dispose()
    admin.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture(scope="module")
def site(
    server: URL, admin: Connection, filled: tuple[str, Fleet], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A console that only this machine reaches, in which nobody signs in."""
    folder = tmp_path_factory.mktemp("site")
    with (
        copied(server, admin, filled[0]) as (url, engine),
        serving(url, FLEETMETER_DATA_DIR=str(folder)) as address,
    ):
        yield Site(address, engine, filled[1])


@pytest.fixture(scope="module")
def guarded(
    server: URL,
    admin: Connection,
    filled: tuple[str, Fleet],
    rivalry: tuple[str, TwoTenants],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Guarded]:
    """A console that asks for a sign-in, over two rival organizations."""
    folder = tmp_path_factory.mktemp("guarded")
    with (
        copied(server, admin, rivalry[0]) as (url, engine),
        guarding(url, engine, folder, filled[1], rivalry[1]) as console,
    ):
        yield console


@pytest.fixture
def live_runner(site: Site) -> Iterator[None]:
    """A runner that works on the site's requests until the test ends, and has done what was due."""
    stop = threading.Event()
    url = site.engine.url.render_as_string(hide_password=False)
    engine = engine_of(site.engine.url)
    settings_of_site = load_settings(database_url=url)
    thread = threading.Thread(target=runner.run, args=(settings_of_site, engine, stop), daemon=True)
    thread.start()
    idle = "SELECT bool_or(trigger = 'schedule') AND bool_and(finished_at IS NOT NULL) FROM job_runs"
    until(lambda: site.scalar(idle))
    yield
    stop.set()
    thread.join(30)
    engine.dispose()


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[BrowserContext]:
    """What the pages of a module share: the browser's cache, which holds the console's compiled scripts."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    """A page that remembers nothing of the one before."""
    window.clear_cookies()
    opened = window.new_page()
    yield opened
    for each in window.pages:
        with suppress(Error):  # a page that never loaded has no storage
            each.evaluate("() => {localStorage.clear(); sessionStorage.clear()}")
        each.close()


@pytest.fixture
def open_page(engine: Engine) -> Iterator[Open]:
    """Opens the page of that name, with the query of its address."""

    def script(page: str) -> None:
        from console import layout

        layout.show(start=page)

    def opened(page: str, claims: dict[str, Any] | None = None, **query: str) -> AppTest:
        st.cache_data.clear()
        test = AppTest.from_function(script, args=(page,), default_timeout=120)
        test.user = claims or {}
        for name, value in query.items():
            test.query_params[name] = value
        return test.run()

    st.cache_resource.clear()
    yield opened
    st.cache_resource.clear()
