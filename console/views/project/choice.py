"""The project of the page: the one in the address, else the first one."""

from collections.abc import Sequence

import streamlit as st
from sqlalchemy import Connection

from console import address
from console.data.cache import cached
from console.data.queries import projects
from console.data.queries.rows import Row
from console.data.transactions import read_transaction_as
from console.ui import escape
from metering.db.scope import Scope

KEY = "project"


def parse() -> None:
    """Bring the project of the address into the field."""
    address.parse(KEY, address.number, "the id of a project")


@cached
def offered(scope: Scope) -> list[Row]:
    """Return the first projects, to choose from; the search finds every other one."""
    with read_transaction_as(scope) as page:
        return projects.first(page.connection)


def find(connection: Connection, options: Sequence[Row]) -> Row | None:
    """Return the project to show: that of the field, else the first one offered; None if there is none."""
    identity = st.session_state.get(KEY)
    project = projects.find(connection, identity) if identity else None
    if identity and project is None:
        address.refuse(KEY, str(identity), "the id of a project that exists")
        st.session_state.pop(KEY, None)
    if project is None and options:
        project = projects.find(connection, options[0]["id"])
    return project


def render(options: Sequence[Row], project: Row | None) -> None:
    """Render the field, and put the project into the address."""
    labels = {row["id"]: _label(row) for row in options}
    if project is not None:
        labels.setdefault(project["id"], _label(project))
    if not labels:
        st.info("The platform has no project yet. Once it has, it is listed here at once.")
        return
    if project is not None:
        st.session_state[KEY] = project["id"]
    project_id = st.selectbox(
        "Project",
        list(labels),
        format_func=labels.__getitem__,
        key="project",
        help=f"The first {len(options)} projects. The search above finds each: by name, customer or id.",
    )
    address.write(KEY, str(project_id))


def _label(row: Row) -> str:
    off = "" if row["is_active"] else " (inactive)"
    return f"{escape.project(row['id'], row['name'])} · {escape.short(row['organization'], 40)}{off}"
