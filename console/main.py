"""The script that Streamlit runs for every session and every click."""

from console import layout

layout.show()
