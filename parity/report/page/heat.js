// The heat map: the rows of the model, a column per kind of tap; taps that are alone in their row
// are buttons around it.

// Colours beside plain ones: patterns of page.css, which greyscale and any eye tell apart.
const HATCHED = null;
const STRIPED = "#f4d160";

const STATUSES = {
  identical: ["=", "#e6efe9", "identical: every bit"],
  rounding: ["≈", "#93c1de", "rounding explains it"],
  unjudged: ["?", STRIPED, "not judged: nothing decides why it differs"],
  diverged: ["≠", "#c8452f", "diverged"],
  nonfinite: ["∞", "#431a63", "Inf or NaN"],
  shape: ["S", "#6f6480", "other shape"],
  dtype: ["T", "#6f6480", "other dtype"],
  missing: ["M", "#6f6480", "missing in this column"],
  not_compared: ["", HATCHED, "not compared"],
};
const ABSENT = "#ffffff";
// A tap that differs although the figure is 0 there, as the local error of what is inherited.
const ZERO = "#dedbe6";
const RAMP = ["#f8d27e", "#ee9a4d", "#d4574f", "#8f2f70", "#33135c"];

// figure -> [name, key, how a value is shown, in words]
const FIGURES = {
  status: ["status", null, null, "What the comparison says of each tap."],
  share: ["mismatch share", "share", brieflyShare, "Share of elements whose bits differ."],
  p99_ulp: ["ULP, 99th percentile", "p99_ulp", briefly, "99 of 100 elements are at most that many representable values apart."],
  max_ulp: ["ULP, largest", "max_ulp", briefly, "Largest distance; a value near zero that changes sign counts tens of thousands."],
  max_abs: ["largest error", "max_abs", briefly, "Largest |ours − reference|."],
  rel_l2: ["relative error", "rel_l2", briefly, "√(Σ (ours − reference)² / Σ reference²)."],
  local: ["local error", "local_rel_l2", briefly, "Relative error made here, given the reference's values before: where a fault is, not where it arrives."],
  stage: ["mismatch share, made here", "stage_share", brieflyShare, "Share of elements at which this tap alone departs, given the reference's values at all taps before."],
  ratio: ["ratio to the oracle", "oracle_ratio", briefly, "Our error against the wide-dtype oracle over the reference's: below 1 ours is nearer to the truth."],
  stage_ratio: ["ratio to the oracle, made here", "stage_oracle_ratio", briefly, "The same for what is made at this tap alone."],
};
const NO_TAP = { text: "", colour: ABSENT, words: "no such tap" };
// Pixels: of labels of rows, the least as in page.css, and of a cell.
const LABELS = { least: 34, most: 190, letter: 6.6 };
const NARROWEST = 13;
const VALUED = new Set(["rounding", "unjudged", "diverged", "nonfinite"]);

const heat = { rows: [], kinds: [], cellOf: new Map(), tapAt: [], before: [], after: [] };

function layOut() {
  const { rows, kinds, places } = store.overview;
  heat.rows = rows;
  heat.kinds = kinds;
  heat.tapAt = rows.map(() => new Array(kinds.length).fill(null));
  places.forEach((place, tap) => {
    if (place === null) {
      (heat.cellOf.size ? heat.after : heat.before).push(tap);
      return;
    }
    // Values are data: an object's own keys can't be trusted with names, so a Map is used.
    heat.cellOf.set(tap, place);
    heat.tapAt[place[0]][place[1]] = tap;
  });
}

// `block 3`, but a label that is no number alone.
const nameOfRow = (i) =>
  /^[0-9]+$/.test(heat.rows[i]) ? `${store.overview.noun} ${heat.rows[i]}` : endOf(heat.rows[i], 60);

// The scale is the same for all columns, so that switching shows which is worse. `place` gives the
// share of it at which a value lies.
function scaleOf(figure) {
  const key = FIGURES[figure][1];
  let low = Infinity;
  let high = 0;
  let zero = false;
  for (const column of store.overview.columns) {
    column.taps.forEach((_, row) => {
      const value = valueOf(column, row, key);
      if (value === null || !VALUED.has(statusOf(column, row))) return;
      if (value === 0) zero = true;
      else {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    });
  }
  if (figure === "share") return { low: 0, high: 1, zero, place: (value) => value };
  if (!high) [low, high] = [0.1, 1];
  low = Math.min(low, high / 2);
  return { low, high, zero, logarithmic: true, place: (value) => Math.log(value / low) / Math.log(high / low) };
}

// A cell: what stands in it, its place on the scale (or null), its colour without one, and a hint.
function cellOf(column, tap, figure, scale) {
  const row = column.rowOf.get(tap);
  if (row === undefined) return { text: "", colour: ABSENT, words: "not in this column" };
  const status = statusOf(column, row);
  const [glyph, colour, words] = STATUSES[status];
  const [, key, shown] = FIGURES[figure];
  if (!key || !VALUED.has(status)) return { text: glyph, colour, words };
  const value = valueOf(column, row, key);
  if (value === null) return { text: "·", colour: ABSENT, words: `${words}; not measured` };
  if (value === 0) return { text: "0", colour: ZERO, words: `0, ${words}` };
  const place = Math.min(1, Math.max(0, scale.place(value)));
  return { text: shown(value), place, words: `${shown(value)}, ${words}` };
}

function rampColour(place) {
  const at = place * (RAMP.length - 1);
  const i = Math.min(Math.floor(at), RAMP.length - 2);
  const part = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  const [a, b] = [part(RAMP[i]), part(RAMP[i + 1])];
  return `rgb(${a.map((x, k) => Math.round(x + (at - i) * (b[k] - x))).join(",")})`;
}

const isDark = (colour) => {
  const [r, g, b] = colour.startsWith("#")
    ? [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16))
    : colour.match(/\d+/g).map(Number);
  return 0.299 * r + 0.587 * g + 0.114 * b < 140;
};

// Text and colours of an element that shows a cell.
function paint(box, { text, colour, place }) {
  box.textContent = text;
  box.classList.toggle("hatched", colour === HATCHED);
  box.classList.toggle("striped", colour === STRIPED && place === undefined);
  if (colour === HATCHED) return;
  const shown = place === undefined ? colour : rampColour(place);
  box.style.background = shown;
  box.style.color = isDark(shown) ? "#fff" : "#1b1f27";
}

// Pixels: how wide it is, and how tall a cell may be.
function drawHeat(column, figure, selected, { width = byId("heat").clientWidth, tallest = 24 } = {}) {
  const scale = FIGURES[figure][1] ? scaleOf(figure) : null;
  drawLegend(column, figure, scale);
  drawChips(byId("outside-before"), heat.before, column, figure, scale);
  drawChips(byId("outside-after"), heat.after, column, figure, scale);
  if (heat.rows.length) drawCells(column, figure, scale, width, tallest);
  outlineSelected(selected);
}

function drawCells(column, figure, scale, width, tallest) {
  const labels = widthOfLabels(width);
  const cellWidth = Math.max(NARROWEST, (width - labels) / heat.kinds.length);
  const height = Math.max(13, Math.min(tallest, 700 / heat.rows.length));
  const size = Math.min(11, height - 4);
  const fits = (text) => Array.from(text).length * size * 0.6 < cellWidth - 2;
  const box = byId("heat");
  box.style.font = `${size}px/${height - 1}px system-ui, sans-serif`;
  box.style.minWidth = `${labels + NARROWEST * heat.kinds.length}px`;
  const corner = box.tHead.rows[0].cells[0];
  corner.style.width = `${labels}px`;
  corner.textContent = endOf(store.overview.noun, Math.floor(labels / LABELS.letter));
  const rows = heat.tapAt.map((taps, i) => {
    const row = element("tr");
    const label = endOf(heat.rows[i], Math.floor(labels / LABELS.letter));
    row.append(element("th", label, { scope: "row", title: heat.rows[i] }));
    taps.forEach((tap, k) => {
      const cell = tap === null ? NO_TAP : cellOf(column, tap, figure, scale);
      const box = element("td", undefined, { id: `cell-${i}-${k}` });
      paint(box, { ...cell, text: fits(cell.text) ? cell.text : "" });
      box.setAttribute("aria-label", `${nameOfRow(i)}, ${shortened(heat.kinds[k], 60)}: ${cell.words}`);
      if (tap !== null) box.dataset.tap = tap;
      row.append(box);
    });
    return row;
  });
  box.tBodies[0].replaceChildren(...rows);
}

// As much as they need, within a third of the map.
function widthOfLabels(width) {
  const longest = Math.max(...[store.overview.noun, ...heat.rows].map((label) => Array.from(label).length));
  return Math.round(Math.min(Math.max(LABELS.least, LABELS.letter * longest + 8), LABELS.most, width / 3));
}

// What stays as it is: kinds of taps, and what the map says of itself.
function drawKinds() {
  byId("heat").hidden = false;
  byId("heat").setAttribute("aria-label",
    `Heat map, ${store.overview.noun} by taps. Arrow keys choose a tap; its figures follow below.`);
  byId("heat").tHead.rows[0].append(...heat.kinds.map((kind) => {
    const head = element("th", undefined, { scope: "col", title: kind });
    head.append(element("span", shortened(kind, 22)));
    return head;
  }));
}

function outlineSelected(selected) {
  for (const button of document.querySelectorAll(".chips button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.tap) === selected));
  }
  byId("heat").querySelector("[aria-selected]")?.removeAttribute("aria-selected");
  const cell = byId(`cell-${(heat.cellOf.get(selected) ?? []).join("-")}`);
  cell?.setAttribute("aria-selected", "true");
  byId("heat").setAttribute("aria-activedescendant", cell?.id ?? "");
  // Of a map that is wider than its place, the part with the cell.
  const pane = byId("heat").parentElement;
  const at = cell ? cell.offsetLeft - pane.scrollLeft : 0;
  if (at < 0 || at > pane.clientWidth - NARROWEST) pane.scrollLeft += at - pane.clientWidth / 2;
}

const CHIPS = 200;

function drawChips(box, taps, column, figure, scale) {
  const buttons = taps.slice(0, CHIPS).map((tap) => {
    const cell = cellOf(column, tap, figure, scale);
    const name = shortened(store.overview.taps[tap], 80);
    const button = element("button", undefined, { type: "button", title: cell.words });
    paint(button, { ...cell, text: `${name}${cell.text && " "}${cell.text}` });
    button.dataset.tap = tap;
    return button;
  });
  if (taps.length > CHIPS) buttons.push(element("span", `and ${taps.length - CHIPS} more in the table`));
  box.replaceChildren(...buttons);
}

function drawLegend(column, figure, scale) {
  const items = [];
  const present = new Set(store.overview.statuses);
  for (const [status, [glyph, colour, words]] of Object.entries(STATUSES)) {
    if (!present.has(status) || (scale && VALUED.has(status))) continue;
    const swatch = element("i");
    paint(swatch, { text: glyph, colour });
    const item = element("span");
    item.append(swatch, words);
    items.push(item);
  }
  if (scale) {
    const zero = element("span");
    const swatch = element("i", "0");
    swatch.style.background = ZERO;
    zero.append(swatch, "differs, but this figure is 0");
    if (scale.zero) items.push(zero);
    const ramp = element("i", undefined, { className: "ramp" });
    ramp.style.background = `linear-gradient(90deg, ${RAMP.join(", ")})`;
    const shown = FIGURES[figure][2];
    const item = element("span");
    item.append(`${shown(scale.low)} `, ramp, shown(scale.high), scale.logarithmic ? ", logarithmic" : "");
    items.push(item);
  }
  byId("legend").replaceChildren(...items);
  byId("figure-note").textContent = `${column.name}, ${FIGURES[figure][0]}: ${FIGURES[figure][3]}`;
}
