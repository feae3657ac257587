"""How well something was measured, as a mark and a word."""

STATES = {
    "measured": "● measured",
    "zero": "0 nothing used",
    "partial": "◐ partial",
    "missing": "○ missing",
    "carried": "↷ carried",
    "denied": "✕ denied",
    "failed": "✕ failed",
    "not_started": "– not started",
    "not_configured": "– not configured",
}
LEGEND = (
    "● the source was read · 0 read, and nothing used · ◐ for some hours · ○ not at all · "
    "↷ the last known level was carried over · ✕ reading was refused or failed · – nothing to measure"
)
