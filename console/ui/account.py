"""The account in the sidebar: sign-in, sign-out, and a plain sentence for people without a role."""

import streamlit as st

from console.access.identity import LOCAL, Person
from console.data.session import sign_out
from console.ui import escape


def sign_in(why: str) -> None:
    """Show the sign-in button to a person who is not signed in."""
    with st.container(width=480):
        st.title("Fleetmeter", anchor=False)
        st.markdown(f"{escape.markdown(why, 200)}.")
        st.button("Sign in", type="primary", icon=":material/login:", key="sign-in", on_click=st.login)


def refused(why: str) -> None:
    """Tell a person who is signed in without a role whom to ask."""
    with st.container(width=480):
        st.title("Fleetmeter", anchor=False)
        st.warning(f"{escape.markdown(why, 400)}.", icon=":material/block:")
        _out()


def signed_in(who: Person) -> None:
    """Show the person's address and role, and sign-out; nothing where nobody signs in."""
    if who == LOCAL:
        return
    role = who.role if who.organizations is None else "viewer of an organization"
    with st.sidebar, st.container(key="visitor"):
        st.text(f"{escape.short(who.actor)} · {role}")
        _out()


def not_yours() -> None:
    """Tell an organization's viewer that the page is about the whole platform."""
    st.title("Not available for your role", anchor=False)
    st.warning("This page is about the whole platform; it is not shown to organizations.")


def _out() -> None:
    st.button("Sign out", icon=":material/logout:", key="sign-out", on_click=_leave)


def _leave() -> None:
    sign_out()
    st.logout()
