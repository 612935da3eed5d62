// One tap of one column in full.

// [heading, key, how it is shown]
const DETAILS = [
  ["99th percentile, ULP", "p99_ulp", shownNumber],
  ["largest, ULP", "max_ulp", shownNumber],
  ["largest error", "max_abs", shownNumber],
  ["relative L2 error", "rel_l2", shownNumber],
  ["made here, relative L2", "local_rel_l2", shownNumber],
  ["error over the reference's, to the oracle", "oracle_ratio", shownNumber],
  ["the same, made at this tap", "stage_oracle_ratio", shownNumber],
];
const MORE = [
  ["mean error", "mean_abs", shownNumber],
  ["largest relative error", "max_rel", shownNumber],
  ["cosine", "cosine", (x) => shownNumber(x, 6)],
  ["signal to noise, dB", "snr_db", shownNumber],
  ["zeros of other sign", "zero_sign", shownNumber],
  ["Inf or NaN", "nonfinite", shownNumber],
  ["NaNs of other payload", "nan_payload", shownNumber],
  ["made here, mismatched", "local_mismatched", shownNumber],
  ["made here, largest, ULP", "local_max_ulp", shownNumber],
  ["inherited, relative L2", "inherited_rel_l2", shownNumber],
  ["gain over its row", "gain", shownNumber],
  ["made at this tap, mismatched", "stage_mismatched", shownNumber],
  ["share of the rounding bound", "stage_bound_share", shownNumber],
  ["formulas apart, in bounds", "stage_formula_share", shownNumber],
  ["error to the oracle, ours", "oracle_rel_l2", shownNumber],
  ["error to the oracle, reference", "reference_oracle_rel_l2", shownNumber],
  ["noise floor, mismatched", "floor_mismatched", shownNumber],
];
// Zero is what one expects of these: shown only if not.
const QUIET = new Set(["zero_sign", "nonfinite", "nan_payload"]);

let opening = 0;

async function drawDetail(number, tap) {
  const column = store.overview.columns[number];
  const row = column.rowOf.get(tap);
  const box = byId("detail");
  const turn = ++opening;
  for (const old of box.querySelectorAll(".chart")) Plotly.purge(old);
  box.replaceChildren(steps(column, row), element("h2", store.overview.taps[tap], { id: "detail-heading", dir: "auto" }));
  if (row === undefined) {
    box.append(element("p", `${column.name} has no such tap.`));
    return;
  }
  const status = statusOf(column, row);
  const line = element("p");
  line.append(`${column.name}: `, element("span", STATUSES[status][2], { className: `badge ${status}` }));
  box.append(line);
  const reason = store.overview.reasons[column.reason[row]];
  if (reason) box.append(element("p", reason, { className: "reason" }));
  const charts = element("div");
  box.append(figuresOf(column, row), ...worstElement(column, row), charts);
  if (VALUED.has(status)) box.append(...moreFigures(column, row), ...causesOf(column));
  box.scrollTop = 0;
  const [profile] = await Promise.all([profileOf(number, row), library()]);
  if (profile === null || turn !== opening) return; // another tap was chosen meanwhile
  drawHistogram(charts, profile);
  drawMagnitudes(charts, profile);
  drawTokens(charts, profile);
  drawQuantiles(charts, profile);
}

function steps(column, row) {
  const nav = element("nav");
  nav.setAttribute("aria-label", "Neighbouring taps in execution order");
  const [word, where] = heat.rows.length ? ["map", "the heat map"] : ["taps", "the taps"];
  const back = element("button", word, { type: "button", className: "to-map", title: `back to ${where}` });
  back.addEventListener("click", () => byId("map").scrollIntoView());
  nav.append(back);
  for (const [label, words, next] of [["←", "the tap before", row - 1], ["→", "the next tap", row + 1]]) {
    const button = element("button", label, { type: "button", title: words });
    button.setAttribute("aria-label", words);
    const tap = column.taps[next];
    if (tap === undefined) button.disabled = true;
    else button.addEventListener("click", () => choose(null, tap));
    nav.append(button);
  }
  return nav;
}

function figuresOf(column, row) {
  const list = element("dl", undefined, { className: "figures" });
  const mismatched = valueOf(column, row, "mismatched");
  const size = valueOf(column, row, "size");
  if (size !== null) {
    const share = mismatched ? ` (${shownShare(mismatched / size)})` : "";
    list.append(pairOf("mismatched", `${mismatched} of ${size}${share}`));
  }
  if (mismatched) addFigures(list, column, row, DETAILS);
  return list;
}

function moreFigures(column, row) {
  const more = element("details");
  const list = element("dl", undefined, { className: "figures" });
  addFigures(list, column, row, MORE);
  more.append(element("summary", "More figures"), list);
  return list.children.length ? [more] : [];
}

function addFigures(list, column, row, specs) {
  for (const [heading, key, shown] of specs) {
    const value = valueOf(column, row, key);
    if (value !== null && !(QUIET.has(key) && !value)) list.append(pairOf(heading, shown(value)));
  }
}

function pairOf(heading, text) {
  const pair = element("div");
  pair.append(element("dt", heading), element("dd", text));
  return pair;
}

function worstElement(column, row) {
  const at = column.at[row];
  if (!at) return [];
  const words = element("p", undefined, { className: "worst-element" });
  const code = (text) => element("code", text);
  words.append("Largest error at ", code(`[${at.join(", ")}]`), ": reference ",
    code(String(valueOf(column, row, "reference_at_max"))), ", ours ",
    code(String(valueOf(column, row, "ours_at_max"))), ".");
  return [words];
}

function causesOf(column) {
  if (!column.causes.length) return [];
  const parts = [element("h3", "Source lines at which this column departs")];
  for (const cause of column.causes) {
    const part = element("div", undefined, { className: "cause" });
    part.append(element("p", `ours: ${cause.place}`), element("pre", cause.text));
    if (cause.reference_place) {
      part.append(element("p", `reference: ${cause.reference_place}`), element("pre", cause.reference_text));
    }
    for (const [label, text] of cause.lines) part.append(element("p", `${label}: ${text}`));
    parts.push(part);
  }
  return parts;
}
