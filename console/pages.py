"""The pages: their titles, addresses and places in the navigation."""

from collections.abc import Mapping
from importlib import import_module
from typing import Literal

import streamlit as st
from streamlit.navigation.page import Page

from console.ui import account

TITLES = {
    "overview": ("Overview", ":material/monitoring:"),
    "explore": ("Explore", ":material/query_stats:"),
    "changes": ("Changes", ":material/difference:"),
    "alerts": ("Alerts", ":material/notifications:"),
    "project": ("Project", ":material/smart_toy:"),
    "snapshots": ("Snapshots", ":material/event_available:"),
    "limits": ("Limits", ":material/data_thresholding:"),
    "health": ("Health", ":material/ecg_heart:"),
    "jobs": ("Jobs", ":material/schedule:"),
    "billing": ("Billing", ":material/receipt_long:"),
    "customers": ("Customers", ":material/groups:"),
    "audit": ("Audit", ":material/history_edu:"),
    "run": ("Run", ":material/autorenew:"),
    "search": ("Search", ":material/search:"),
}
UNLISTED = ("run", "search")  # reached by links and by the search, not by the navigation
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Watch": ("overview", "explore", "changes", "alerts", "project"),
    "Repair": ("snapshots", "jobs", "health"),
    "Bill": ("billing", "customers", "limits"),
    "Prove": ("audit",),
}
# About the whole platform: not shown to an organization's viewer.
PLATFORM = ("jobs", "health", "audit", "run")


def page(key: str, start: str = "overview", whole: bool = True) -> Page:
    """Return the page `key` at `/key`; the one named `start` answers at `/`.

    Without `whole`, for an organization's viewer: a page about the platform says so and is not listed.
    """
    title, icon = TITLES[key]
    withheld = not whole and key in PLATFORM
    show = account.not_yours if withheld else import_module(f"console.views.{key}.page").show
    visible: Literal["visible", "hidden"] = "hidden" if withheld or key in UNLISTED else "visible"
    return st.Page(show, title=title, icon=icon, url_path=key, default=key == start, visibility=visible)


def navigation(start: str, visible: bool = True, whole: bool = True) -> Page:
    """Show the navigation and return the page that the address names."""
    return st.navigation(
        {section: [page(key, start, whole) for key in keys] for section, keys in _sections().items()},
        position="sidebar" if visible else "hidden",
        expanded=True,
    )


def _sections() -> dict[str, tuple[str, ...]]:
    return {**SECTIONS, "Watch": (*SECTIONS["Watch"], *UNLISTED)}


def link(key: str, label: str, **query: str) -> None:
    """Show a link to the page `key` with that query."""
    st.page_link(page(key), label=label, icon=":material/arrow_forward:", query_params=query or None)
