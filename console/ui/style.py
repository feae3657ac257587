"""The console's own style, beside Streamlit's theme: narrow screens, tables, the head."""

NARROW = 640  # pixels: cards instead of columns

CSS = f"""<style>
/* Streamlit writes white on a primary button, which nobody reads on the light blue of the dark theme. */
.stApp [data-testid^=stBaseButton-primary] {{color: light-dark(#fff, #0d1520)}}
/* A swipe that begins on a chart scrolls the page (console.js has the other half). */
@media (pointer: coarse) {{.stPlotlyChart :is(.draglayer, .draglayer *) {{touch-action: pan-y !important}}}}
.fm-link {{color: light-dark(#0b62a4, #6fb6f2) !important; text-decoration: none}}
.fm-link:hover, .fm-link:focus-visible {{text-decoration: underline}}
.fm-region {{overflow-x: auto}}
.fm-table {{width: 100%; border-collapse: collapse; font-size: .9rem}}
.fm-table th, .fm-table td {{border-bottom: 1px solid rgba(128,128,128,.28); padding: .45rem .6rem}}
.fm-table th {{font-weight: 600}}
.fm-number {{text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums}}
.fm-text {{text-align: left; overflow-wrap: break-word; max-width: 22rem}}
.stHtml ul.fm-cards {{list-style: none; margin: 0; padding: 0}}
.fm-cards li {{border-bottom: 1px solid rgba(128,128,128,.28); padding: .55rem 0; margin: 0}}
.fm-line {{display: flex; gap: .75rem; justify-content: space-between; align-items: baseline}}
.fm-title {{font-weight: 600; overflow-wrap: anywhere; min-width: 0}}
.fm-figure {{white-space: nowrap; font-variant-numeric: tabular-nums; text-align: right}}
.fm-details {{font-size: .85rem; color: light-dark(#55606d, #a7b3c0); overflow-wrap: anywhere}}
@media (min-width: {NARROW + 1}px) {{
  .fm-narrow, [class*=st-key-narrow-], div:has(> [class*=st-key-narrow-]) {{display: none}}
}}
@media (max-width: {NARROW}px) {{
  .fm-wide, [class*=st-key-wide-], div:has(> [class*=st-key-wide-]) {{display: none}}
}}
</style>"""
