"""Render Health: processes, sources, queue, drift, doctor."""
