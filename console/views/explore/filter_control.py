"""The control that filters by tiers, organizations and projects, with a search for them."""

from collections.abc import Sequence

import streamlit as st

from console.data.cache import cached
from console.data.explore import names
from console.data.explore.question import Filters
from console.data.session import current_scope
from console.data.transactions import read_transaction_as
from console.ui import escape
from console.views.explore.state import State
from metering.db.scope import Scope


def keys(filters: Filters) -> list[names.Key]:
    """Return the filters as the options of the control."""
    return [
        *(("tier", tier) for tier in filters.tiers),
        *(("organization", str(number)) for number in filters.organizations),
        *(("project", str(number)) for number in filters.projects),
    ]


def parse(options: Sequence[names.Key]) -> Filters:
    """Return the filters of these options of the control."""

    def of(kind: str) -> list[str]:
        return [value for name, value in options if name == kind]

    return Filters(tuple(of("tier")), tuple(map(int, of("organization"))), tuple(map(int, of("project"))))


def show(state: State) -> None:
    """Show the search for filters, and the filters that are set."""
    count = len(keys(state.filters))
    with st.popover(f"Filters · {count}" if count else "Filters", icon=":material/filter_alt:"):
        words = st.text_input(
            "Find a tier, an organization or a project",
            key="explore-words",
            placeholder="Part of a name, or an id",
            max_chars=200,
        )
        options = _options(state, words)
        st.multiselect(
            "Only these",
            list(options),
            format_func=lambda key: options.get(key, " ".join(key)),
            key="explore-filters",
            placeholder="Everything",
            help="Several of one kind: any of them. Different kinds: all of them.",
        )


def _options(state: State, words: str) -> dict[names.Key, str]:
    organizations, projects = state.filters.organizations, state.filters.projects
    matching, name_by_key = _matches(current_scope(), words, organizations, projects)
    selection = [(key, name_by_key.get(key, key[1])) for key in keys(state.filters)]
    return {key: _label(key, name) for key, name in (*selection, *matching)}


@cached
def _matches(
    scope: Scope, words: str, organizations: Sequence[int], projects: Sequence[int]
) -> tuple[list[tuple[names.Key, str]], dict[names.Key, str]]:
    """Return what matches `words`, and the names of the organizations and projects in the filters."""
    with read_transaction_as(scope) as page:
        of_organizations = names.organizations(page.connection, organizations)
        of_projects = names.projects(page.connection, projects)
        name_by_key = {("organization", str(number)): name for number, name in of_organizations.items()}
        name_by_key |= {("project", str(number)): name for number, name in of_projects.items()}
        return names.search(page.connection, words), name_by_key


def _label(key: names.Key, name: str) -> str:
    kind, value = key
    return (
        f"Tier {escape.short(name, 30)}" if kind == "tier" else f"{escape.short(name, 40)} · {kind} {value}"
    )
