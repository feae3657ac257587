"""A console page in the test's own process, over a real database."""

import uuid
from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from sqlalchemy import URL, Connection, Engine, create_engine, text
from streamlit.testing.v1 import AppTest
from the_console import Fleet, fill

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
    source = request.getfixturevalue("filled")[0] if "fleet" in request.fixturenames else template
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{source}"'))
    yield server.set(database=name)
    admin.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def fleet(filled: tuple[str, Fleet]) -> Fleet:
    return filled[1]


@pytest.fixture
def open_page(engine: Engine) -> Iterator[Open]:
    """Opens the page of that name, with the query of its address."""

    def script(page: str) -> None:
        from console import frame

        frame.show(start=page)

    def opened(page: str, **query: str) -> AppTest:
        st.cache_data.clear()
        test = AppTest.from_function(script, args=(page,), default_timeout=30)
        for name, value in query.items():
            test.query_params[name] = value
        return test.run()

    st.cache_resource.clear()
    yield opened
    st.cache_resource.clear()
