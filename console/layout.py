"""The frame around every page: who is looking, navigation by what they came for, a guard at its edge."""

from pathlib import Path

import streamlit as st

from console.data.session import current_person, current_scope
from console.data.waiting import waiting
from console.pages import navigation
from console.ui import account, error_boundary
from metering.errors import AccessRefused, NotSignedIn

HERE = Path(__file__).parent


def show(start: str = "overview") -> None:
    """Show the page the address names; `start` is the one at `/`."""
    st.set_page_config(page_icon=str(HERE / "icon.svg"), layout="wide")
    st.logo(str(HERE / "logo.svg"), icon_image=str(HERE / "icon.svg"), size="large")
    error_boundary.guarded(_show)(start)


def page_title(title: str, waiting: int) -> str:
    """Return the browser tab's title, with the number of alerts that nobody has acknowledged."""
    return f"({waiting}) {title} · Fleetmeter" if waiting else f"{title} · Fleetmeter"


def _show(start: str) -> None:
    try:
        who, scope = current_person(), current_scope()
    except NotSignedIn as error:
        navigation(start, visible=False)
        account.sign_in(str(error))
    except AccessRefused as error:
        navigation(start, visible=False)
        account.refused(str(error))
    else:
        page = navigation(start, whole=scope is None)
        account.signed_in(who)
        st.set_page_config(page_title=page_title(page.title, waiting(scope)))
        error_boundary.guarded(page.run)()
