"""What `fleetmeter doctor` says, asked for by a click: it looks at more than the database."""

import subprocess
import sys

import streamlit as st

from console.data.session import has_role

LONGEST = 60  # seconds; doctor waits for an absent broker


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
    else:
        st.code(report, language=None, wrap_lines=True)


def _examine() -> str:
    # A process of its own: the console may not import the front door, and a hung check is ended.
    command = [sys.executable, "-P", "-m", "fleetmeter.cli", "doctor"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LONGEST, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return f"The doctor did not come to an end within {LONGEST} s; run: fleetmeter doctor"
    return (done.stdout + done.stderr).strip()
