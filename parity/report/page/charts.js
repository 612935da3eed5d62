// The charts of one tap.

const CHART_FONT = { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 11, color: "#1b1f27" };
const CHART_CONFIG = { displayModeBar: false, responsive: false };
const BAR = "#8f2f70";

function chart(box, heading, traces, layout) {
  box.append(element("h3", heading));
  const place = element("div", undefined, { className: "chart" });
  box.append(place);
  const axis = { gridcolor: "#e3e5ea", zeroline: false, fixedrange: true, automargin: true };
  Plotly.newPlot(place, traces, {
    height: 215, width: place.clientWidth, margin: { l: 52, r: 10, t: 8, b: 36 }, font: CHART_FONT,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "#fff", showlegend: traces.length > 1, dragmode: false,
    legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
    ...layout,
    xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
  }, CHART_CONFIG);
}

const powerOfTwo = (k) => `2<sup>${k}</sup>`;
const ulpBin = (k) => (k === 0 ? "0" : k < 8 ? String(2 ** (k - 1)) : powerOfTwo(k - 1));
const ulpSpan = (k) => (k < 2 ? String(k) : `${2 ** (k - 1)} to ${2 ** k - 1}`);

// Ticks of a logarithmic axis: at powers of ten, and between them where they are few.
function logAxis(values) {
  const positive = values.filter((value) => value > 0);
  const decades = positive.length ? Math.log10(Math.max(...positive) / Math.min(...positive)) : 0;
  return { type: "log", dtick: decades > 2 ? Math.ceil(decades / 6) : "D2", exponentformat: "power" };
}

function drawHistogram(box, profile) {
  const counts = profile.ulp_histogram;
  if (!counts.length) return;
  chart(box, `Elements by distance in ULP${sampledWords(profile.sampled)}`, [{
    type: "bar", x: counts.map((_, k) => ulpBin(k)), y: counts.map((n) => n || null),
    marker: { color: counts.map((_, k) => (k ? BAR : "#b9c9c0")) },
    hoverinfo: "text", hovertext: counts.map((n, k) => `${n} elements, ${ulpSpan(k)} ULP apart`),
  }], {
    margin: { l: 52, r: 10, t: 8, b: 44 },
    xaxis: { type: "category", tickangle: 0, dtick: Math.ceil(counts.length / 16), title: { text: "ULP, from here to below the next", standoff: 4 } },
    yaxis: { ...logAxis([1, ...counts]), range: [Math.log10(0.6), Math.log10(1.5 * Math.max(...counts))] },
  });
}

function drawMagnitudes(box, profile) {
  const { exponent, count, mismatched, max_abs: largest, mean_abs: mean } = profile.by_magnitude;
  const at = exponent.map((e) => (e === null ? "0" : powerOfTwo(e)));
  const words = at.map((x, i) =>
    `|reference| from ${x}: ${mismatched[i]} differ, largest ${shownNumber(largest[i])}, mean ${shownNumber(mean[i])}; ${count[i]} elements${sampledWords(profile.counted)}`);
  const line = (name, y, symbol, dash, color) => ({
    type: "scatter", mode: "lines+markers", name, x: at, y: y.map((v) => v || null), connectgaps: true,
    marker: { symbol, size: 6 }, line: { dash, color, width: 1.5 }, hoverinfo: "text", hovertext: words,
  });
  chart(box, `Error by magnitude of the reference${sampledWords(profile.sampled)}`, [
    line("largest", largest, "circle", "solid", BAR),
    line("mean of the mismatched", mean, "square-open", "dot", "#35618f"),
  ], {
    margin: { l: 52, r: 10, t: 26, b: 44 },
    xaxis: { type: "category", tickangle: 0, dtick: Math.ceil(at.length / 10), title: { text: "|reference|", standoff: 4 } },
    yaxis: logAxis([...largest, ...mean]),
  });
}

function drawTokens(box, profile) {
  const grid = profile.by_token;
  if (!grid) return;
  const rows = grid.mismatched.length;
  const x = grid.mismatched[0].map((_, i) => i * grid.bucket);
  const span = (i) => (grid.bucket === 1 ? `position ${x[i]}` : `positions ${x[i]}–${Math.min(x[i] + grid.bucket, grid.positions) - 1}`);
  const words = grid.mismatched.map((row, r) => row.map((n, i) =>
    `row ${r}, ${span(i)}: ${n} differ, by up to ${shownNumber(grid.max_abs[r][i])}`));
  const per = grid.bucket === 1 ? "" : `, ${grid.bucket} positions each`;
  const common = { hoverinfo: "text" };
  const heading = `Mismatched elements by token${per}${sampledWords(profile.sampled)}`;
  if (rows === 1) {
    chart(box, heading, [{ ...common, type: "bar", x, y: grid.mismatched[0], hovertext: words[0], marker: { color: BAR } }],
      { bargap: 0.1, xaxis: { title: { text: "position", standoff: 4 } }, yaxis: { rangemode: "tozero", nticks: 5 } });
    return;
  }
  chart(box, heading, [{
    ...common, type: "heatmap", x, y: grid.mismatched.map((_, r) => r), z: grid.mismatched, hovertext: words, zmin: 0,
    colorscale: [[0, "#e6efe9"], [1e-9, RAMP[0]], ...RAMP.slice(1).map((colour, i) => [(i + 1) / (RAMP.length - 1), colour])],
    xgap: 0.5, ygap: 1, colorbar: { thickness: 10, outlinewidth: 0, nticks: 4 },
  }], {
    xaxis: { title: { text: "position", standoff: 4 } },
    yaxis: { autorange: "reversed", title: { text: "row" }, dtick: Math.ceil(rows / 8) },
  });
}

function drawQuantiles(box, profile) {
  const errors = profile.oracle_errors;
  if (!errors) return;
  const all = [...errors.ours, ...errors.reference];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  chart(box, `Errors to the oracle, quantile against quantile${sampledWords(errors.sampled)}`, [
    { type: "scatter", mode: "lines", name: "equal", x: [low, high], y: [low, high], line: { color: "#8a909c", dash: "dash", width: 1 }, hoverinfo: "skip" },
    { type: "scatter", mode: "markers", name: "ours", x: errors.reference, y: errors.ours, marker: { color: BAR, size: 5 },
      hoverinfo: "text", hovertext: errors.ours.map((value, i) =>
        `quantile ${(i / (errors.ours.length - 1)).toFixed(2)}: ours ${shownNumber(value)}, reference ${shownNumber(errors.reference[i])}`) },
  ], {
    showlegend: false,
    xaxis: { title: { text: "reference − oracle", standoff: 4 }, exponentformat: "e", nticks: 5 },
    yaxis: { title: { text: "ours − oracle", standoff: 4 }, exponentformat: "e", nticks: 5 },
  });
}

const sampledWords = (n) => (n > 1 ? ` (of every ${n}${ordinal(n)} element)` : "");
const ordinal = (n) => (n % 100 > 10 && n % 100 < 14 ? "th" : ["th", "st", "nd", "rd"][n % 10] || "th");
