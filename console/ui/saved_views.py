"""Saved views: open one, save this page under a name, pin it to Overview."""

from urllib.parse import parse_qsl, urlencode

import streamlit as st

from console.data.queries.rows import Row
from console.data.session import current_person, current_scope, has_role
from console.data.transactions import read_transaction
from console.data.views import saved_views
from console.data.views.saved_views import NAME, View
from console.ui import escape, links
from metering.errors import FleetmeterError


def offer(page: View) -> None:
    """Offer the saved views, and a form to save the current address as one."""
    with st.popover("Views", icon=":material/bookmark:", key="views"):
        with read_transaction() as reading:
            views = saved_views.read(reading.connection, current_person().actor)
        for view in views:
            _line(view)
        if not views:
            st.caption("No view is saved yet. A view is this page's question under a name.")
        _form(page)


def address(view: Row) -> str:
    """Return the address of a saved view; its query, written by a person, is parsed and encoded again."""
    return links.address(view["page"], dict(parse_qsl(view["address"])))


def _line(view: Row) -> None:
    mine = view["owner"] == current_person().actor
    by = "" if mine else f" · {escape.html(view['owner'], 40)}"
    shared = " · for everybody" if view["is_shared"] and mine else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        named = links.anchor(address(view), escape.html(view["name"], NAME))
        st.html(f"{named}<span style='opacity:.75'>{by}{shared}</span>", width="stretch")
        if mine:
            pinned = bool(view["is_pinned"])
            st.button(
                "Unpin" if pinned else "Pin",
                key=f"pin-{view['id']}",
                icon=":material/keep_off:" if pinned else ":material/keep:",
                type="tertiary",
                on_click=saved_views.pin,
                args=(view["id"], not pinned),
            )
            st.button(
                "Delete",
                key=f"delete-view-{view['id']}",
                icon=":material/delete:",
                type="tertiary",
                on_click=saved_views.delete,
                args=(view["id"],),
            )


def _form(page: View) -> None:
    may_share = current_scope() is None and has_role("operator")
    with st.form("save-view", border=False, clear_on_submit=True):
        name = st.text_input("Name", max_chars=NAME, key="view-name", placeholder="Growth of the pro tier")
        pinned = st.checkbox("Pin to Overview", key="view-pinned")
        shared = may_share and st.checkbox("For everybody", key="view-shared")
        if not st.form_submit_button("Save this view", type="primary", key="view-save"):
            return
    try:
        saved_views.save(name, page, urlencode(st.query_params.to_dict()), shared, pinned)
    except FleetmeterError as error:
        st.error(str(error))
    else:
        st.rerun()
