"""Addresses inside the console, so that whatever has a page is a link to it, in the same tab.

`console.js` follows these links without loading the page anew: the session and its caches stay.
"""

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

import streamlit as st

from metering.catalogue.periods import Month


def address(page: str, query: Mapping[str, object] | None = None) -> str:
    """Return the address of the page of that key; what is None in `query` is left out."""
    given = {name: str(value) for name, value in (query or {}).items() if value is not None}
    path = "/" if page == "overview" else f"/{page}"
    return f"{path}?{urlencode(given)}" if given else path


def project(project_id: int, meter: str | None = None) -> str:
    """Return the address of a project's page, with that meter's chart."""
    return address("project", {"project": project_id, "meter": meter})


def organization(organization_id: int) -> str:
    """Return the address of a customer's page."""
    return address("customers", {"organization": organization_id})


def run(run_id: int) -> str:
    """Return the address of a run's page."""
    return address("run", {"id": run_id})


def month(of: Month | str) -> str:
    """Return the address of a month's bills; a month as `2026-10` or as a Month."""
    return address("billing", {"month": of})


def search(words: str) -> str:
    """Return the address of what a search finds."""
    return address("search", {"q": words})


def pages(page: str, shown: int, more: bool) -> str:
    """Return the number of the page that is `shown` and links to the first and the next, as HTML.

    The links keep what else the address says; empty where there is one page only.
    """
    here = {name: value for name, value in st.query_params.items() if name != "page"}
    steps = [anchor(address(page, here), "First page")] if shown > 1 else []
    if more:
        steps.append(anchor(address(page, here | {"page": shown + 1}), "Next page"))
    return f"Page {shown} · " + " · ".join(steps) if steps else ""


def anchor(target: str, inner: str) -> str:
    """Return `inner`, which is HTML already, as a link to `target`."""
    return f"<a class='fm-link' href='{escape(target)}' target='_self'>{inner}</a>"
