// Keeps the page fresh: the same sections, rendered by the sidecar, every two seconds while somebody looks.
(() => {
  "use strict";
  const address = location.pathname.replace(/\/?$/, "/") + "status.json";
  const shown = new Map();
  let waiting = false;
  const lost = (is) => document.documentElement.classList.toggle("lost", is);
  async function refresh() {
    if (waiting || document.hidden) return;
    waiting = true;
    try {
      const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(answer.status);
      const page = await answer.json();
      document.title = page.title;
      document.documentElement.dataset.status = page.status;
      for (const [id, html] of Object.entries(page.sections)) {
        if (shown.get(id) === html) continue;
        const section = document.getElementById(id);
        // Somebody who is selecting text there keeps it.
        const selection = getSelection();
        if (section && !(selection && !selection.isCollapsed && section.contains(selection.anchorNode))) {
          section.innerHTML = html;
          shown.set(id, html);
        }
      }
      lost(false);
    } catch {
      lost(true);
    } finally {
      waiting = false;
    }
  }
  setInterval(refresh, 2000);
  document.addEventListener("visibilitychange", refresh);
})();
