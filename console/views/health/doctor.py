"""The findings of `fleetmeter doctor`, run by a click: it checks more than the database."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from console.data.session import has_role
from console.ui import states
from console.ui.table import Column, table

LONGEST = 60  # seconds; doctor waits for an absent broker
COLUMNS = (
    Column("state", "State", "state"),
    Column("checked", "Checked", narrow="title"),
    Column("result", "Result", narrow="detail", width="large"),
    Column("advice", "What to do", narrow="detail", width="large"),
)


def render() -> None:
    """Render a button, and below it the doctor's findings of the last press."""
    if not has_role("operator"):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Doctor", anchor=False, width="stretch")
        pressed = st.button("Run checks", key="doctor", icon=":material/stethoscope:")
    if pressed:
        with st.spinner("Looking at the database, the broker, the counters, the jobs and the months"):
            st.session_state["examined"] = _examine()
    report = st.session_state.get("examined")
    if report is None:
        st.caption("Checks what operators complain about most, and says what to do about what it finds.")
    elif isinstance(report, str):
        st.error(report, icon=":material/error:")
    else:
        alt = "What the doctor checked, with what to do"
        table([_row(finding) for finding in report], COLUMNS, "findings", alt, placeholder="—")


def _row(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {**finding, "state": states.PASSED if finding["ok"] else states.TO_DO}


def _examine() -> Sequence[Mapping[str, Any]] | str:
    """Return the findings, or a sentence with the reason for their absence."""
    # A process of its own: the console may not import the front door, and a hung check is ended.
    command = [sys.executable, "-P", "-m", "fleetmeter.cli", "doctor", "--json"]
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=LONGEST, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return f"The doctor did not come to an end within {LONGEST} s; run: fleetmeter doctor"
    try:
        findings: list[Mapping[str, Any]] = json.loads(process.stdout)
    except ValueError:
        return f"The doctor could not begin: {process.stderr.strip()[-500:] or 'run fleetmeter doctor'}"
    return findings
