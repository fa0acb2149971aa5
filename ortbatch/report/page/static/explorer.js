// Thresholds: the counts of the stored point that the slider stands at, and what follows from them.
{
  const SVG = "http://www.w3.org/2000/svg";

  const COUNTS = ["tp", "fp", "fn", "tn"];
  const whole = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 0 });

  // As ortbatch/report/format.py writes a number.
  const shown = (value) => {
    if (value === null) return "–";
    if (Math.abs(value) >= 1000) return whole(value);
    if (Math.abs(value) >= 10) return value.toFixed(2);
    for (let digits = 4; digits < 12; digits += 1) {
      const edges = [0, 1].filter((edge) => edge !== value);
      if (edges.every((edge) => value.toFixed(digits) !== edge.toFixed(digits))) return value.toFixed(digits);
    }
    return value.toFixed(12);
  };

  const ratio = (part, whole) => (whole ? part / whole : null);

  // As ortbatch/metrics/intervals.py has it: Wilson (1927), JASA 22(158).
  const wilson = (hits, trials, z) => {
    if (!trials) return [null, null];
    const share = hits / trials;
    const square = z * z;
    const centre = (share + square / (2 * trials)) / (1 + square / trials);
    const half = (z / (1 + square / trials)) * Math.sqrt((share * (1 - share)) / trials + square / (4 * trials * trials));
    return [Math.max(0, Math.min(centre - half, share)), Math.min(1, Math.max(centre + half, share))];
  };

  const rates = ({ tp, fp, fn, tn }, z) => {
    const rows = tp + fp + fn + tn;
    const [precisionLow, precisionHigh] = wilson(tp, tp + fp, z);
    const [recallLow, recallHigh] = wilson(tp, tp + fn, z);
    return {
      precision: ratio(tp, tp + fp), precision_low: precisionLow, precision_high: precisionHigh,
      recall: ratio(tp, tp + fn), recall_low: recallLow, recall_high: recallHigh,
      f1: ratio(2 * tp, 2 * tp + fp + fn), specificity: ratio(tn, fp + tn), fpr: ratio(fp, fp + tn),
      per_1000: ratio(1000 * (tp + fp), rows),
    };
  };

  const make = (parent, tag, attributes) => {
    const element = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return parent.appendChild(element);
  };

  // A layer over a picture, in units of its frame: x and y from 0 to 1, y upwards.
  const layer = (figure) => {
    const frame = figure.querySelector(".root > g > .background").parentNode;
    const [width, height] = [Number(figure.dataset.width), Number(figure.dataset.height)];
    return { group: make(frame, "g", { "class": "moved", "aria-hidden": "true" }), x: (v) => v * width, y: (v) => (1 - v) * height };
  };

  const line = (over, x1, y1, x2, y2) =>
    make(over.group, "line", { x1: over.x(x1), y1: over.y(y1), x2: over.x(x2), y2: over.y(y2), "class": "hair" });

  const drawCurve = (over, spots, steps) => {
    const known = spots.filter(([x, y]) => x !== null && y !== null).reverse();
    const corners = known.map(([x, y], at) => {
      if (steps && at) return `V${over.y(y)}H${over.x(x)}`;
      return `${at ? "L" : "M"}${over.x(x)},${over.y(y)}`;
    });
    if (corners.length) make(over.group, "path", { d: corners.join(""), "class": "chosen" });
  };

  const countsAt = ({ points }, at) => ({ tp: points.tp[at], fp: points.fp[at], fn: points.fn[at], tn: points.tn[at] });
  const rowsOf = ({ tp, fp, fn, tn }) => tp + fp + fn + tn;

  // Costs of a missed row and of a false alarm; null unless both are numbers from 0 on.
  const costsIn = (root) => {
    const [fn, fp] = ["fn", "fp"].map((kind) => {
      const text = root.querySelector(`[data-cost=${kind}]`).value;
      return text !== "" && Number.isFinite(Number(text)) && Number(text) >= 0 ? Number(text) : null;
    });
    return fn === null || fp === null ? null : { fn, fp };
  };

  const priced = (counts, costs) => {
    const cost = costs === null ? null : costs.fn * counts.fn + costs.fp * counts.fp;
    return { cost, cost_per_1000: cost === null ? null : ratio(1000 * cost, rowsOf(counts)) };
  };

  // As ortbatch/metrics/operating.py chooses: of equally cheap ones the highest, and a row must be called.
  const cheapestOf = (curve, costs) => {
    const price = (at) => costs.fn * curve.points.fn[at] + costs.fp * curve.points.fp[at];
    const usable = curve.points.tp.map((_, at) => at).filter((at) => curve.points.tp[at] + curve.points.fp[at] > 0);
    const place = usable.reduce((best, at) => (best === null || price(at) <= price(best) ? at : best), null);
    return place === null ? null : { place, least: price(place) };
  };

  const write = (root, values) => {
    for (const cell of root.querySelectorAll("[data-at]")) {
      const value = values[cell.dataset.at];
      cell.textContent = COUNTS.includes(cell.dataset.at) ? whole(value) : shown(value);
      cell.dataset.value = value === null ? "" : String(value);
    }
    for (const kind of ["precision", "recall"]) root.querySelector(`[data-interval=${kind}]`).hidden = values[kind] === null;
  };

  const say = (root, curve, counts, threshold) => {
    const { tp, fp, fn } = counts;
    root.querySelector("[data-said]").textContent =
      `At a threshold of ${shown(threshold)}, ${whole(tp + fp)} of ${whole(rowsOf(counts))} rows are called ${curve.name}: ` +
      `${whole(tp)} rightly, ${whole(fp)} wrongly; ${whole(fn)} of ${whole(tp + fn)} rows of ${curve.name} are missed.`;
    root.querySelector("[data-slider]").setAttribute("aria-valuetext", `threshold ${shown(threshold)}`);
  };

  // Commands that use the threshold, and that choose it if a rule did.
  const advise = (root, binary, threshold, chosenBy) => {
    const use = root.querySelector("[data-use]");
    use.replaceChildren();
    const code = (before, text) => {
      const element = document.createElement("code");
      element.textContent = text;
      use.append(before, element);
    };
    if (binary) code("To run with it: ", `ortbatch run JOB --set threshold=${threshold}`);
    else use.append("The model predicts the class of largest score; a threshold is for whoever uses this class's scores.");
    if (chosenBy !== null) code(binary ? "; to choose it from the stored report: " : " To choose it: ", chosenBy);
  };

  const moveOn = (over, [x, y]) => {
    if (x === null || y === null) return;
    line(over, x, 0, x, y);
    line(over, 0, y, x, y);
    make(over.group, "circle", { cx: over.x(x), cy: over.y(y), r: 5, "class": "marker" });
  };

  // Markers on the curves; of several curves the chosen one is drawn again, over the others.
  const move = (plots, data, curve, values, threshold) => {
    const spots = { pr: (at) => [at.recall, at.precision], roc: (at) => [at.fpr, at.recall] };
    for (const [kind, spot] of Object.entries(spots)) {
      if (!plots[kind]) continue;
      plots[kind].group.replaceChildren();
      if (data.curves.length > 1) {
        drawCurve(plots[kind], curve.points.tp.map((_, at) => spot(rates(countsAt(curve, at), data.z))), kind === "pr");
      }
      moveOn(plots[kind], spot(values));
    }
    if (!plots.scores) return;
    plots.scores.group.replaceChildren();
    const [low, high] = data.ends;
    const x = (Math.log(threshold / (1 - threshold)) - low) / (high - low);
    if (x >= 0 && x <= 1) line(plots.scores, x, 0, x, 1).setAttribute("class", "marker");
  };

  const explore = (root) => {
    const data = JSON.parse(root.querySelector("script").textContent);
    const find = (selector) => root.querySelector(selector);
    const all = (selector) => [...root.querySelectorAll(selector)];
    const [slider, field] = [find("[data-slider]"), find("[data-threshold]")];
    const plots = Object.fromEntries(all("[data-plot]").map((figure) => [figure.dataset.plot, layer(figure)]));
    const note = (text) => { find("[data-note]").textContent = text; };
    let curve = data.curves[0];
    let place = 0;

    const show = (chosenBy) => {
      const counts = countsAt(curve, place);
      const threshold = curve.points.threshold[place];
      const values = { ...counts, ...rates(counts, data.z), ...priced(counts, costsIn(root)) };
      slider.value = String(place);
      field.value = String(threshold);
      write(root, values);
      move(plots, data, curve, values, threshold);
      say(root, curve, counts, threshold);
      advise(root, data.binary, threshold, chosenBy);
    };
    // The command that chooses a point, and what was said of it, go as soon as it is left.
    const go = (index, options = null, said = "") => {
      place = Math.min(Math.max(index, 0), curve.points.threshold.length - 1);
      note(said);
      show(options === null ? null : curve.command + options);
    };
    const goTo = (threshold, options = null) => go(curve.points.threshold.indexOf(threshold), options);
    // The highest stored threshold that is not above a number.
    const below = (number) => curve.points.threshold.filter((threshold) => threshold <= number).length - 1;

    const goToCheapest = () => {
      const costs = costsIn(root);
      if (costs === null || (costs.fn === 0 && costs.fp === 0)) return note("Give two costs, none below 0 and not both 0.");
      const own = curve.points.tp[0] + curve.points.fn[0];
      const found = own ? cheapestOf(curve, costs) : null;
      if (found === null) return note(`There is nothing to choose: no row of ${curve.name}.`);
      const nothing = costs.fn * own;
      const rather = nothing < found.least ? ` Calling no row ${curve.name} would cost less: ${shown(nothing)}.` : "";
      const said = `The cheapest of the ${curve.points.fn.length} thresholds stored here; the command looks at all.${rather}`;
      return go(found.place, ` --cost fn=${costs.fn},fp=${costs.fp}`, said);
    };

    const choose = (index) => {
      curve = data.curves[index];
      const stored = curve.points.threshold;
      slider.max = String(stored.length - 1);
      find("[data-stored]").textContent = String(stored.length);
      for (const cell of all("[data-name]")) cell.textContent = curve.name;
      for (const button of all("[data-rule]")) button.disabled = curve.picks[button.dataset.rule] === null;
      go(stored.includes(curve.start) ? stored.indexOf(curve.start) : Math.floor(stored.length / 2));
    };

    slider.addEventListener("input", () => go(Number(slider.value)));
    field.addEventListener("change", () => go(field.value === "" ? place : below(Number(field.value))));
    for (const button of all("[data-rule]")) {
      const { rule } = button.dataset;
      button.addEventListener("click", () => goTo(curve.picks[rule], curve.options[rule] ?? null));
    }
    find("[data-own]")?.addEventListener("click", () => goTo(curve.own));
    for (const cost of all("[data-cost]")) cost.addEventListener("input", () => go(place));
    find("[data-cheapest]").addEventListener("click", goToCheapest);
    find("[data-class]")?.addEventListener("change", (event) => choose(Number(event.target.value)));
    choose(0);
    find(".controls").hidden = false;
    find(".outcome").hidden = false;
  };

  for (const root of document.querySelectorAll("[data-explorer]")) explore(root);
}
