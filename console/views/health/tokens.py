"""Tokens of the HTTP API, for administrators: create one, list them, revoke one."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import streamlit as st

from console.actions import create_token, revoke_token
from console.data.session import has_role, now
from console.data.transactions import read_transaction
from console.ui import confirm_dialog, notices, states
from console.ui.table import Column, table
from metering.config.oidc import ROLES
from metering.db import tokens
from metering.db.tokens import LONGEST_NAME, MOST_DAYS, Token
from metering.errors import FleetmeterError

COLUMNS = (
    Column("state", "State", "state"),
    Column("id", "Token", "id"),
    Column("name", "Name", "name"),
    Column("role", "Role"),
    Column("organization_id", "Organization", "id", help="Empty: it sees every organization"),
    Column("last_used_at", "Last used (UTC)", "instant"),
    Column("expires_at", "Expires (UTC)", "instant"),
    Column("created_by", "Created by", "name"),
    Column("created_at", "Created (UTC)", "instant"),
)
SIGNS = {"active": states.ACTIVE, "expired": states.EXPIRED, "revoked": states.REVOKED}
NEW = "new-token"  # in the session, until the page is left


def render() -> None:
    """Show the section to administrators."""
    if not has_role("admin"):
        return
    st.subheader("Tokens of the HTTP API", anchor=False)
    with read_transaction() as page:
        listed, at = tokens.listed(page.connection), page.at
    _show_new()
    rows = [asdict(token) | {"state": SIGNS[token.state(at)]} for token in reversed(listed)]
    if rows:
        table(
            rows,
            COLUMNS,
            "tokens",
            "Each token with its role, its organization and its last use",
            placeholder="—",
        )
    else:
        st.caption("There is none. A program that asks `/api/v1` needs one.")
    with st.container(horizontal=True):
        confirm_dialog.button("Create a token", "create-token", ":material/key:")
        _offer_revoking([token for token in listed if token.state(at) == "active"])
    confirm_dialog.ask("create-token", "Create a token", _form, "Create it", lambda: _create(now()))


def _show_new() -> None:
    """Show the token that was just created: nobody can see it again."""
    created = st.session_state.pop(NEW, None)
    if created is not None:
        st.success("Copy the token now: it is not stored, and nobody can show it again.")
        st.code(created, language=None)


def _form() -> None:
    st.text_input("Name", key="token-name", max_chars=LONGEST_NAME, help="The audit log says it")
    st.selectbox("Role", ROLES, key="token-role")
    st.number_input("Organization", 1, None, None, key="token-organization", help="Empty: every organization")
    st.number_input("Days until it expires", 1, MOST_DAYS, 365, key="token-days", help="Empty: never")


def _create(at: datetime) -> None:
    values = {
        name: st.session_state.get(f"token-{name}") for name in ("name", "role", "organization", "days")
    }
    try:
        st.session_state[NEW] = create_token(
            str(values["name"] or ""), str(values["role"]), values["organization"], values["days"], at
        )
    except FleetmeterError as error:
        notices.error(str(error))


def _offer_revoking(active: Sequence[Token]) -> None:
    if not active:
        return
    confirm_dialog.button("Revoke a token", "revoke-token", ":material/key_off:")
    names = {token.id: f"{token.id}: {token.name}" for token in active}

    def choose() -> None:
        st.selectbox("Token", list(names), format_func=lambda number: names[number], key="token-revoked")
        st.markdown("Whoever uses it is refused from now on.")

    confirm_dialog.ask("revoke-token", "Revoke a token", choose, "Revoke it", lambda: _revoke(now()))


def _revoke(at: datetime) -> None:
    try:
        revoke_token(int(st.session_state["token-revoked"]), at)
    except FleetmeterError as error:
        notices.error(str(error))
