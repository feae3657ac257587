"""Every page under the role fleetmeter_reader, which may write nothing."""

from collections.abc import Callable

import pytest
from sqlalchemy import URL
from streamlit.testing.v1 import AppTest

from console.pages import TITLES
from tests.support.fleet import Fleet
from tests.support.roles import administered, install


@pytest.mark.parametrize("name", tuple(TITLES))
def test_a_page_shows_to_a_reader(
    name: str,
    url: URL,
    superuser: URL,
    fleet: Fleet,
    open_page: Callable[..., AppTest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with administered(superuser, url.database) as database:
        address = install(database).reader.render_as_string(hide_password=False)
        monkeypatch.setenv("DATABASE_URL", address)
        page = open_page(name)
    assert not page.exception
    assert page.title[0].value == TITLES[name][0]
    problems = [error.value for error in page.error if "Reference" in error.value]
    assert problems == []
