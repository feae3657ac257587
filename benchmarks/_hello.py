"""The floor: the least that Streamlit can show, and one button."""

import streamlit as st

st.title("Hello")
st.session_state.presses = st.session_state.get("presses", 0) + st.button("Again")
st.write(f"Pressed {st.session_state.presses} times")
