// What Streamlit does not offer: links in the same tab, keys, refreshing in a quiet moment, names of files.
(() => {
  const inside = (href) => {
    try {
      const url = new URL(href, location.href);
      return url.origin === location.origin && !/^\/(_stcore|api|media|static|healthz|readyz|metrics)/.test(url.pathname);
    } catch { return false; }
  };

  // Streamlit listens to "back": a page shown so keeps its session, and the address is a history entry.
  const go = (href) => {
    const url = new URL(href, location.href);
    if (url.href === location.href) return;
    const elsewhere = url.pathname !== location.pathname;
    history.pushState({}, "", url);
    dispatchEvent(new PopStateEvent("popstate"));
    if (elsewhere) document.querySelector(".stMain")?.scrollTo(0, 0);
  };

  let modified = false;
  let pressed = null;
  for (const kind of ["pointerdown", "keydown"]) {
    addEventListener(kind, (event) => {
      modified = event.metaKey || event.ctrlKey || event.shiftKey;
      pressed = event.target;
    }, true);
  }

  addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || modified || event.altKey) return;
    const link = event.target.closest?.(".stHtml a[href], [data-testid=stMarkdownContainer] a[href]");
    if (!link || link.closest("[data-testid^=stPageLink], [data-testid^=stSidebarNav]")) return;
    if (link.hasAttribute("download") || !inside(link.href)) return;
    event.preventDefault();
    event.stopPropagation();
    go(link.href);
  }, true);

  // A grid opens its links by this.
  const open = window.open;
  window.open = function (href, ...rest) {
    if (modified || !inside(href)) return open.call(window, href, ...rest);
    go(href);
    return null;
  };

  // Plotly takes each touch for the beginning of a drag, so a swipe on a chart would not scroll the page.
  // Without the touch, the browser scrolls, and a tap arrives as a click. The slider below a chart is dragged.
  addEventListener("touchstart", (event) => {
    if (event.target.closest?.(".stPlotlyChart") && !event.target.closest(".rangeslider-container, .modebar")) event.stopPropagation();
  }, { capture: true, passive: true });

  const typing = (node) => Boolean(node?.closest?.("input, textarea, select, [contenteditable=true], [role=combobox]"));
  const asking = () => Boolean(document.querySelector("[role=dialog]"));
  const press = (key) => document.querySelector(`.st-key-${key} button`)?.click();

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || asking()) return;
    const act = { "/": () => document.querySelector(".st-key-everything input")?.focus(), r: () => press("refresh") }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopImmediatePropagation(); // Streamlit has an "r" of its own, which reads nothing anew
    act();
  }, true);

  // The button "renew-30" is pressed each 30 s; not while somebody types, is asked, or looks elsewhere.
  let since = Date.now();
  addEventListener("click", (event) => { if (event.target.closest?.("button, a")) since = Date.now(); }, true);
  setInterval(() => {
    const box = document.querySelector("[class*='st-key-renew-']");
    const seconds = Number(box?.className.match(/st-key-renew-(\d+)/)?.[1]);
    if (!seconds || Date.now() - since < seconds * 1000) return;
    if (typing(document.activeElement) || asking() || document.hidden) return;
    since = Date.now();
    box.querySelector("button")?.click();
  }, 1000);

  // A table's download is named by its page and table.
  const named = (given) => {
    const box = pressed?.closest?.("[class*='st-key-wide-']");
    const table = box?.className.match(/st-key-wide-([\w-]+)/)?.[1];
    const page = location.pathname.split("/").pop() || "overview";
    const name = table?.startsWith(page) ? table : `${page}-${table}`;
    return table ? `fleetmeter-${name}-${new Date().toISOString().slice(0, 10)}.csv` : given;
  };
  const picker = window.showSaveFilePicker;
  if (picker) window.showSaveFilePicker = (options) => picker.call(window, { ...options, suggestedName: named(options?.suggestedName) });
  const click = HTMLAnchorElement.prototype.click;
  HTMLAnchorElement.prototype.click = function () {
    if (this.download?.endsWith("_export.csv")) this.download = named(this.download);
    return click.call(this);
  };
})();
