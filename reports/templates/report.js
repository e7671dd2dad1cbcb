"use strict";
(() => {
  const table = document.getElementById("rows");
  const form = document.getElementById("filters");
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const collator = new Intl.Collator("en", { numeric: true });

  const key = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.key === undefined) return cell.textContent;
    return cell.dataset.key === "" ? null : Number(cell.dataset.key);
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));

  function sort(column) {
    const rising = headers[column].getAttribute("aria-sort") !== "ascending";
    headers.forEach((header) => header.removeAttribute("aria-sort"));
    headers[column].setAttribute("aria-sort", rising ? "ascending" : "descending");
    const keyed = rows.map((row) => [key(row, column), row]);
    // Missing numbers stay at the end, whichever way the rest is sorted.
    keyed.sort(([a], [b]) =>
      a === null || b === null ? (a === null) - (b === null) : (rising ? 1 : -1) * compare(a, b));
    body.append(...keyed.map(([, row]) => row));
  }

  function filter() {
    const selects = [...form.querySelectorAll("select")].filter((select) => select.value);
    const words = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const picked = document.getElementById("picked").checked;
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const keep = (!picked || row.classList.contains("picked"))
        && selects.every((s) => row.cells[s.dataset.column].textContent === s.value)
        && words.every((word) => text.includes(word));
      row.hidden = !keep;
      shown += keep;
    }
    document.getElementById("count").textContent = `${shown} of ${rows.length} rows`;
  }

  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => sort(column));
    header.replaceChildren(button);
  });
  // Paper has no folds: figures are printed, tables only where the reader opened them.
  const folds = [...document.querySelectorAll("details.fold")];
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = folds.filter((fold) => !fold.open);
    closed.forEach((fold) => { fold.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((fold) => { fold.open = false; }));

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
