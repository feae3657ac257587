"""The frame around every page: navigation by what people come for, and a guard at its edge."""

import streamlit as st

from console import trouble
from console.pages import SECTIONS, page


def show(start: str = "overview") -> None:
    """Show the page the address names; `start` is the one at `/`."""
    st.set_page_config(page_title="Fleetmeter", page_icon=":material/speed:", layout="wide")
    chosen = st.navigation(
        {section: [page(key, start) for key in keys] for section, keys in SECTIONS.items()},
        expanded=True,
    )
    trouble.guarded(chosen.run)()
