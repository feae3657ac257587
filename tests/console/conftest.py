"""A console page in the test's own process, over a real database."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import streamlit as st
import the_rivals
from playwright.sync_api import Browser
from sqlalchemy import URL, Connection, Engine, create_engine, text
from streamlit.testing.v1 import AppTest
from the_browser import chromium
from the_console import Fleet, fill
from the_people import PROVIDER
from the_rivals import Rivals

Open = Callable[..., AppTest]


@pytest.fixture(scope="session")
def filled(server: URL, admin: Connection, template: str) -> Iterator[tuple[str, Fleet]]:
    """A database with a fleet in it, to copy; filling one takes seconds."""
    name = f"fleet_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    engine = create_engine(server.set(database=name), connect_args={"options": "-c timezone=UTC"})
    fleet = fill(engine)
    engine.dispose()
    yield name, fleet
    admin.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


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
    admin.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def fleet(filled: tuple[str, Fleet]) -> Fleet:
    return filled[1]


@pytest.fixture(scope="session")
def rivalry(server: URL, admin: Connection, filled: tuple[str, Fleet]) -> Iterator[tuple[str, Rivals]]:
    """A copy of it in which another organization's fleet lives beside the first."""
    name = f"rivals_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{filled[0]}"'))
    engine = create_engine(server.set(database=name), connect_args={"options": "-c timezone=UTC"})
    rivals = the_rivals.settle(engine, filled[1])
    engine.dispose()
    yield name, rivals
    admin.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def rivals(rivalry: tuple[str, Rivals]) -> Rivals:
    return rivalry[1]


@pytest.fixture
def signing_in(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Turns sign-in on, with those settings of it."""

    def turn_on(**given: str) -> None:
        for name, value in (PROVIDER | given).items():
            monkeypatch.setenv(name, value)

    return turn_on


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def open_page(engine: Engine) -> Iterator[Open]:
    """Opens the page of that name, with the query of its address."""

    def script(page: str) -> None:
        from console import frame

        frame.show(start=page)

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
