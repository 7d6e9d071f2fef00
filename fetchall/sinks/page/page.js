"use strict";
(() => {
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const byId = (id) => document.getElementById(id);

  // Sorting: numbers by data-v, largest first; text by what is read. What has no value stays last.
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.v === undefined) return cell.textContent;
    return cell.dataset.v === "" ? null : Number(cell.dataset.v);
  };
  const compare = (a, b) =>
    typeof a === "string" && typeof b === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  const sort = (table, heads, column) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
    const numeric = rows.some(([value]) => typeof value === "number");
    const was = heads[column].getAttribute("aria-sort");
    const rising = was === "none" ? !numeric : was === "descending";
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return rising ? compare(a, b) : compare(b, a);
    });
    heads.forEach((head) => head.setAttribute("aria-sort", "none"));
    heads[column].setAttribute("aria-sort", rising ? "ascending" : "descending");
    body.append(...rows.map(([, row]) => row));
  };
  for (const table of all("table.sorts")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const first = table.tBodies[0].rows[0];
      if (first && first.cells[column].dataset.v !== undefined) head.classList.add("n");
      head.setAttribute("aria-sort", "none");
      head.firstElementChild.addEventListener("click", () => sort(table, heads, column));
    });
  }

  // Filtering: the list shows what fits, the waterfalls dim what does not.
  const list = byId("requests");
  if (list) {
    const rows = all("tbody tr", list).map((row) => ({ row, text: row.textContent.toLowerCase(), ...row.dataset }));
    const bars = new Map();
    for (const bar of all("g[data-i]")) bars.set(bar.dataset.i, [...(bars.get(bar.dataset.i) || []), bar]);
    const text = byId("f-text"), outcome = byId("f-outcome"), host = byId("f-host");
    const fits = (each, words) =>
      (outcome.value === "" || each.o === outcome.value ||
        (outcome.value === "ok" && each.k === "1") || (outcome.value === "failed" && each.k === "0")) &&
      (host.value === "" || each.h === host.value) &&
      words.every((word) => each.text.includes(word));
    const filter = () => {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const each of rows) {
        const fit = fits(each, words);
        shown += fit;
        each.row.hidden = !fit;
        for (const bar of bars.get(each.i) || []) bar.classList.toggle("dim", !fit);
      }
      byId("f-count").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
    };
    const only = (control, value) => {
      text.value = outcome.value = host.value = "";
      control.value = value;
      filter();
      byId("requests-part").scrollIntoView({ block: "start" });
    };
    text.addEventListener("input", filter);
    outcome.addEventListener("change", filter);
    host.addEventListener("change", filter);
    byId("f-clear").addEventListener("click", () => {
      text.value = outcome.value = host.value = "";
      filter();
    });
    for (const button of all("button[data-host]"))
      button.addEventListener("click", () => only(host, button.dataset.host));
    for (const button of all("button[data-outcome]"))
      button.addEventListener("click", () => only(outcome, button.dataset.outcome));
    filter();
  }

  // Tooltips: what the browser would show after a while, at once. Charts keep their own titles.
  const tip = byId("tip");
  for (const title of all(".tips g > title, .tips rect > title, .flush rect > title")) {
    title.parentElement.dataset.tip = title.textContent;
    title.remove();
  }
  document.addEventListener("pointermove", (event) => {
    const mark = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    const { offsetWidth: width, offsetHeight: height } = tip;
    tip.style.left = `${Math.max(Math.min(event.clientX + 14, innerWidth - width - 8), 8)}px`;
    tip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18}px`;
  });
})();
