"use strict";
// The confusion matrix: which numbers its cells show.
for (const matrix of document.querySelectorAll("[data-matrix]")) {
  const choice = matrix.querySelector(".choice");
  const buttons = [...choice.querySelectorAll("button")];
  choice.hidden = false;
  for (const button of buttons) {
    button.addEventListener("click", () => {
      matrix.dataset.matrix = button.dataset.shown;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    });
  }
}

// The finder: of the classes whose name holds all words of the field, what they are taken for, and what for them.
for (const finder of document.querySelectorAll("[data-finder]")) {
  const SHOWN = 5, LISTED = 10, LISTED_ALONE = 100, SUGGESTED = 50;
  const data = JSON.parse(document.getElementById("finder-data").textContent);
  const lower = data.classes.map((name) => name.toLowerCase());
  const field = finder.querySelector("input");
  const found = finder.querySelector("#finder-found");
  const taken = new Map(), takes = new Map();
  const under = (map, place) => map.get(place) || map.set(place, []).get(place);
  for (let at = 0; at < data.cells.length; at += 3) {
    const [truth, said, rows] = data.cells.slice(at, at + 3);
    under(taken, truth).push([said, rows]);
    under(takes, said).push([truth, rows]);
  }
  const node = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  const grouped = (count) => count.toLocaleString("en-US");

  const list = (title, entries, total, most) => {
    const part = document.createElement("div");
    part.append(node("h4", entries.length ? title : `${title} nothing that is listed here`));
    const items = document.createElement("ol");
    for (const [place, rows] of entries.slice(0, most)) {
      const share = total ? ` (${(100 * rows / total).toPrecision(2).replace(/\.0$/, "")}%)` : "";
      items.append(node("li", `${data.classes[place]}: ${grouped(rows)}${share}`));
    }
    part.append(items);
    if (entries.length > most) part.append(node("p", `and ${grouped(entries.length - most)} more`));
    return part;
  };

  const about = (place, most) => {
    const part = document.createElement("article");
    part.append(node("h3", data.classes[place]));
    part.append(node("p", `${grouped(data.support[place])} rows, ${grouped(data.hits[place])} of them right`));
    part.append(list("Its rows are taken for", taken.get(place) || [], data.support[place], most));
    part.append(list("Taken for it are rows of", takes.get(place) || [], 0, most));
    return part;
  };

  const find = () => {
    const text = field.value.trim().toLowerCase();
    const words = text.split(/\s+/).filter(Boolean);
    if (!words.length) return found.replaceChildren();
    const places = lower.flatMap((name, place) => (words.every((word) => name.includes(word)) ? [place] : []));
    // The class that is named exactly comes first.
    places.sort((one, other) => (lower[other] === text) - (lower[one] === text) || one - other);
    const alone = lower[places[0]] === text || places.length === 1;
    const shown = places.slice(0, alone ? 1 : SHOWN);
    const which = shown.length < places.length ? `, ${shown.length} shown` : "";
    const line = node("p", `${grouped(places.length)} ${places.length === 1 ? "class" : "classes"} found${which}`);
    found.replaceChildren(line, ...shown.map((place) => about(place, alone ? LISTED_ALONE : LISTED)));
  };

  finder.querySelector("datalist").append(
    ...data.classes.slice(0, SUGGESTED).map((name) => Object.assign(document.createElement("option"), { value: name })),
  );
  field.addEventListener("input", find);
  finder.hidden = false;
}
