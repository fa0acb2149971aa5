"use strict";
// Tables with a field: only rows that hold all words of the field are shown.
for (const field of document.querySelectorAll("[data-search]")) {
  const label = field.closest("label");
  const box = label.nextElementSibling;
  const rows = [...box.querySelectorAll("tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const told = document.createElement("output");
  label.append(told);
  label.hidden = false;
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, place) => {
      row.hidden = !words.every((word) => texts[place].includes(word));
      shown += !row.hidden;
    });
    told.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
}
// A head of a table sorts its rows: numbers by their value, largest first; the rest as text. Empty cells stand last.
for (const table of document.querySelectorAll("table[data-sort]")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  // Short lists, and names with one value each, are read as they stand.
  if (body.rows.length < 6 || heads.length < 3) continue;
  const value = (row, column) => {
    const cell = row.cells[column];
    const number = cell.querySelector("data");
    return number ? Number(number.value) : cell.textContent.trim();
  };
  const empty = (found) => found === "" || found === "–";
  const compare = (one, two) =>
    typeof one === "number" && typeof two === "number" ? one - two : String(one).localeCompare(String(two), "en", { numeric: true });
  const sort = (column) => {
    const head = heads[column];
    const numbers = [...body.rows].some((row) => typeof value(row, column) === "number");
    const before = head.getAttribute("aria-sort");
    const down = before ? before === "ascending" : numbers;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = [...body.rows].map((row) => [value(row, column), row]);
    keyed.sort(([one], [two]) => empty(one) - empty(two) || (empty(one) ? 0 : (down ? -1 : 1) * compare(one, two)));
    body.append(...keyed.map(([, row]) => row));
  };
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(column));
    head.append(button);
  });
}
