"""Addresses and links inside the console, which open in the same tab.

`console.js` follows these links without reloading the page: the session and its caches stay.
"""

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

import streamlit as st

from metering.catalogue.periods import Month


def address(page: str, query: Mapping[str, object] | None = None) -> str:
    """Return the address of the page `page`; parameters that are None are left out."""
    parameters = {name: str(value) for name, value in (query or {}).items() if value is not None}
    path = "/" if page == "overview" else f"/{page}"
    return f"{path}?{urlencode(parameters)}" if parameters else path


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
    """Return the address of the results of a search."""
    return address("search", {"q": words})


def pages(page: str, number: int, more: bool) -> str:
    """Return the page's `number` and links to the first and the next page, as HTML.

    The links keep the other parameters of the address; empty where there is one page only.
    """
    here = {name: value for name, value in st.query_params.items() if name != "page"}
    steps = [anchor(address(page, here), "First page")] if number > 1 else []
    if more:
        steps.append(anchor(address(page, here | {"page": number + 1}), "Next page"))
    return f"Page {number} · " + " · ".join(steps) if steps else ""


def anchor(target: str, inner: str) -> str:
    """Return `inner`, which is HTML already, as a link to `target`."""
    return f"<a class='fm-link' href='{escape(target)}' target='_self'>{inner}</a>"
