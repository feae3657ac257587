"""The pages: their titles, addresses and places in the navigation."""

from collections.abc import Mapping
from importlib import import_module

import streamlit as st
from streamlit.navigation.page import Page

TITLES = {
    "overview": ("Overview", ":material/monitoring:"),
    "alerts": ("Alerts", ":material/notifications:"),
    "project": ("Project", ":material/smart_toy:"),
    "snapshots": ("Snapshots", ":material/event_available:"),
    "limits": ("Limits", ":material/data_thresholding:"),
    "health": ("Health", ":material/ecg_heart:"),
    "jobs": ("Jobs", ":material/schedule:"),
    "billing": ("Billing", ":material/receipt_long:"),
}
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Watch": ("overview", "alerts", "project"),
    "Repair": ("snapshots", "jobs", "health"),
    "Bill": ("billing", "limits"),
}


def page(key: str, start: str = "overview") -> Page:
    """The page `key` at `/key`; the one named `start` answers at `/`."""
    title, icon = TITLES[key]
    show = import_module(f"console.views.{key}").show
    return st.Page(show, title=title, icon=icon, url_path=key, default=key == start)


def link(key: str, label: str, **query: str) -> None:
    """A link to the page `key` with that query."""
    st.page_link(page(key), label=label, icon=":material/arrow_forward:", query_params=query or None)
