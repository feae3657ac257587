"""What Streamlit runs for every visitor and every click."""

from console import layout

layout.show()
