"""The frame around every page: navigation by what people come for, and a guard at its edge."""

from pathlib import Path

import streamlit as st

from console import trouble
from console.pages import SECTIONS, page

HERE = Path(__file__).parent


def show(start: str = "overview") -> None:
    """Show the page the address names; `start` is the one at `/`."""
    st.set_page_config(page_title="Fleetmeter", page_icon=str(HERE / "icon.svg"), layout="wide")
    st.logo(str(HERE / "logo.svg"), icon_image=str(HERE / "icon.svg"), size="large")
    chosen = st.navigation(
        {section: [page(key, start) for key in keys] for section, keys in SECTIONS.items()},
        expanded=True,
    )
    trouble.guarded(chosen.run)()
