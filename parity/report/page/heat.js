// The heat map: a row per block, a column per tap of a block; other taps are buttons around it.

const STATUSES = {
  identical: ["=", "#e6efe9", "identical: every bit"],
  rounding: ["≈", "#93c1de", "rounding explains it"],
  diverged: ["≠", "#c8452f", "diverged"],
  nonfinite: ["∞", "#431a63", "Inf or NaN"],
  shape: ["S", "#6f6480", "other shape"],
  dtype: ["T", "#6f6480", "other dtype"],
  missing: ["M", "#6f6480", "missing in this column"],
  not_compared: ["", null, "not compared"],
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
const VALUED = new Set(["rounding", "diverged", "nonfinite"]);

const heat = { blocks: [], kinds: [], cellOf: new Map(), tapAt: [], before: [], after: [] };

function layOut() {
  const { taps, blocks } = store.overview;
  const kinds = new Map();
  const rows = [...new Set(blocks.filter((block) => block !== null))].sort((a, b) => a - b);
  const rowOf = new Map(rows.map((block, i) => [block, i]));
  taps.forEach((name, tap) => {
    if (blocks[tap] === null) {
      // Values are data: an object's own keys can't be trusted with names, so a Map is used.
      (heat.cellOf.size ? heat.after : heat.before).push(tap);
      return;
    }
    const kind = name.slice(name.indexOf(".", "blocks.".length) + 1);
    if (!kinds.has(kind)) kinds.set(kind, kinds.size);
    heat.cellOf.set(tap, [rowOf.get(blocks[tap]), kinds.get(kind)]);
  });
  heat.blocks = rows;
  heat.kinds = [...kinds.keys()];
  heat.tapAt = rows.map(() => new Array(heat.kinds.length).fill(null));
  for (const [tap, [row, kind]] of heat.cellOf) heat.tapAt[row][kind] = tap;
}

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
  if (value === null) return { text: "?", colour: ABSENT, words: `${words}; not measured` };
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

// Colours without a value have places of their own below the ramp: -1 - index.
const FLAT = [...new Set(Object.values(STATUSES).map(([, colour]) => colour).filter(Boolean)), ABSENT, ZERO];
const COLOURSCALE = (() => {
  const total = FLAT.length + 1;
  const steps = [];
  FLAT.forEach((colour, i) => steps.push([i / total, colour], [(i + 1) / total, colour]));
  RAMP.forEach((colour, i) => steps.push([(FLAT.length + i / (RAMP.length - 1)) / total, colour]));
  steps[steps.length - 1][0] = 1;
  return steps;
})();

function drawHeat(column, figure, selected, width = byId("heat").clientWidth) {
  const scale = FIGURES[figure][1] ? scaleOf(figure) : null;
  drawLegend(column, figure, scale);
  drawChips(byId("outside-before"), heat.before, column, figure, scale, selected);
  drawChips(byId("outside-after"), heat.after, column, figure, scale, selected);
  byId("heat").hidden = !heat.blocks.length;
  if (!heat.blocks.length) return;
  const left = 34;
  const cellWidth = (width - left - 8) / heat.kinds.length;
  const cellHeight = Math.max(13, Math.min(24, 700 / heat.blocks.length));
  const cells = heat.tapAt.map((row) =>
    row.map((tap) => (tap === null ? { text: "", colour: ABSENT, words: "no such tap" } : cellOf(column, tap, figure, scale))),
  );
  const z = cells.map((row) =>
    row.map((cell) => {
      if (cell.place !== undefined) return FLAT.length + 0.001 + 0.999 * cell.place;
      return cell.colour === null ? null : FLAT.indexOf(cell.colour) + 0.5;
    }),
  );
  const size = Math.min(11, cellHeight - 4);
  const fits = (text) => Array.from(text).length * size * 0.6 < cellWidth - 2;
  const trace = {
    type: "heatmap", z, zmin: 0, zmax: FLAT.length + 1, colorscale: COLOURSCALE, showscale: false,
    hoverongaps: true, hoverinfo: "text", texttemplate: "%{text}",
    text: cells.map((row) => row.map((cell) => (fits(cell.text) ? cell.text : ""))),
    hovertext: cells.map((row, i) =>
      row.map((cell, k) => plain(`block ${heat.blocks[i]}, ${shortened(heat.kinds[k], 60)}: ${cell.words}`)),
    ),
    textfont: { size, family: "system-ui, sans-serif" },
  };
  const labels = heat.kinds.map((kind) => shortened(kind, 22));
  const longest = Math.max(...labels.map((label) => Array.from(label).length));
  const top = 14 + Math.round(longest * 6.1);
  const layout = {
    width, height: top + 10 + cellHeight * heat.blocks.length,
    margin: { l: left, r: 8, t: top, b: 10 }, paper_bgcolor: "rgba(0,0,0,0)", font: CHART_FONT,
    dragmode: false,
    xaxis: { side: "top", tickmode: "array", tickvals: labels.map((_, i) => i), ticktext: labels.map(plain),
      tickangle: -90, showgrid: false, zeroline: false, fixedrange: true, range: [-0.5, labels.length - 0.5] },
    yaxis: { tickmode: "array", tickvals: heat.blocks.map((_, i) => i), showgrid: false, zeroline: false,
      ticktext: heat.blocks.map((b, i) => (cellHeight > 15 || i % 2 === 0 ? String(b) : "")),
      fixedrange: true, range: [heat.blocks.length - 0.5, -0.5] },
    shapes: shapesOf(selected),
  };
  Plotly.react("heat", [trace], layout, CHART_CONFIG);
}

// White lines between the cells (gaps would show the hatching behind them), and the chosen one's frame.
function shapesOf(selected) {
  const [rows, kinds] = [heat.blocks.length, heat.kinds.length];
  const lines = [];
  for (let i = 1; i < rows; i++) lines.push(`M-0.5,${i - 0.5}L${kinds - 0.5},${i - 0.5}`);
  for (let k = 1; k < kinds; k++) lines.push(`M${k - 0.5},-0.5L${k - 0.5},${rows - 0.5}`);
  const shapes = lines.length ? [{ type: "path", path: lines.join(""), line: { color: "#fff", width: 1 } }] : [];
  const cell = heat.cellOf.get(selected);
  if (cell) {
    const [row, kind] = cell;
    shapes.push({ type: "rect", x0: kind - 0.5, x1: kind + 0.5, y0: row - 0.5, y1: row + 0.5,
      line: { color: "#0b57d0", width: 3 } });
  }
  return shapes;
}

function outlineSelected(selected) {
  for (const button of document.querySelectorAll(".chips button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.tap) === selected));
  }
  if (!heat.blocks.length) return;
  Plotly.relayout("heat", { shapes: shapesOf(selected) });
}

const CHIPS = 200;

function drawChips(box, taps, column, figure, scale, selected) {
  const buttons = taps.slice(0, CHIPS).map((tap) => {
    const cell = cellOf(column, tap, figure, scale);
    const colour = cell.place === undefined ? cell.colour : rampColour(cell.place);
    const name = store.overview.taps[tap];
    const button = element("button", `${shortened(name, 80)}${cell.text && " "}${cell.text}`, { type: "button", title: cell.words });
    button.dataset.tap = tap;
    button.setAttribute("aria-pressed", String(tap === selected));
    if (colour === null) button.className = "hatched";
    else {
      button.style.background = colour;
      button.style.color = isDark(colour) ? "#fff" : "#1b1f27";
    }
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
    const swatch = element("i", glyph);
    if (colour === null) swatch.className = "hatched";
    else Object.assign(swatch.style, { background: colour, color: isDark(colour) ? "#fff" : "#1b1f27" });
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
