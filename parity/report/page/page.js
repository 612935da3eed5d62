// What is chosen, kept in the address: #column/tap.

const chosen = { column: 0, tap: 0, figure: "status" };

// Pixels: between the margins of a sheet, and so that 20 rows fit below the head.
const PAPER = { width: 660, tallest: 17 };

const hashOf = (column, tap) =>
  `#${encodeURIComponent(column.name)}/${encodeURIComponent(store.overview.taps[tap])}`;

function fromHash() {
  return store.overview.columns.flatMap((column, number) =>
    column.taps.filter((tap) => hashOf(column, tap) === normalised(location.hash)).map((tap) => ({ number, tap })))[0];
}

// The same escapes as ours, whoever wrote the link.
function normalised(hash) {
  try {
    return `#${hash.slice(1).split("/").map((part) => encodeURIComponent(decodeURIComponent(part))).join("/")}`;
  } catch {
    return "";
  }
}

// Either may be null: it stays as it is.
function choose(number, tap, { show = false } = {}) {
  const before = { ...chosen };
  if (number !== null) chosen.column = number;
  if (tap !== null) chosen.tap = tap;
  const column = store.overview.columns[chosen.column];
  history.replaceState(null, "", hashOf(column, chosen.tap));
  if (before.column !== chosen.column) {
    byId("columns").querySelectorAll("input")[chosen.column].checked = true;
    drawHeat(column, chosen.figure, chosen.tap);
  } else outlineSelected(chosen.tap);
  table.chosen = [column, chosen.tap];
  drawRows();
  drawDetail(chosen.column, chosen.tap);
  if (!show) return;
  const box = byId("detail");
  if (getComputedStyle(box).position !== "sticky" || box.getBoundingClientRect().top < 0) box.scrollIntoView({ block: "start" });
}

function setUpControls() {
  store.overview.columns.forEach((column, i) => {
    const label = element("label");
    const radio = element("input", undefined, { type: "radio", name: "column", checked: i === 0 });
    radio.addEventListener("change", () => choose(i, null));
    label.append(radio, column.name);
    byId("columns").append(label);
  });
  const measured = ([, key]) => !key || store.overview.columns.some((column) =>
    column.taps.some((_, row) => valueOf(column, row, key) !== null));
  for (const [figure, spec] of Object.entries(FIGURES)) {
    if (measured(spec)) byId("figure").append(element("option", spec[0], { value: figure }));
  }
  byId("figure").addEventListener("change", (event) => {
    chosen.figure = event.target.value;
    redrawHeat();
  });
  byId("to-table").addEventListener("click", (event) => {
    event.preventDefault();
    byId("all").scrollIntoView();
    byId("find").focus({ preventScroll: true });
  });
  for (const id of ["outside-before", "outside-after"]) {
    byId(id).addEventListener("click", (event) => {
      const tap = event.target.closest("button")?.dataset.tap;
      if (tap !== undefined) choose(null, Number(tap), { show: true });
    });
  }
}

function setUpHeat() {
  const box = byId("heat");
  if (!heat.rows.length) {
    byId("how").textContent = "Click a tap to open it.";
    return;
  }
  drawKinds();
  box.addEventListener("click", (event) => {
    const tap = event.target.closest("td")?.dataset.tap;
    if (tap !== undefined) choose(null, Number(tap), { show: true });
  });
  // What a cell says is shown at once, below the map, while the pointer is on it.
  const point = (words) => {
    byId("pointed").textContent = words ?? "";
    byId("map").classList.toggle("pointing", Boolean(words));
  };
  box.addEventListener("mouseover", (event) => point(event.target.closest("td")?.getAttribute("aria-label")));
  box.addEventListener("mouseleave", () => point());
  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  box.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    const start = heat.cellOf.get(chosen.tap);
    let [row, kind] = start ?? [-move[0], -move[1]];
    // Over gaps, to the next tap in that direction.
    do {
      row += move[0];
      kind += move[1];
    } while (heat.tapAt[row]?.[kind] === null);
    const tap = heat.tapAt[row]?.[kind];
    if (tap !== undefined) choose(null, tap);
  });
}

const redrawHeat = (sizes) =>
  drawHeat(store.overview.columns[chosen.column], chosen.figure, chosen.tap, sizes);

async function start() {
  await loadOverview();
  byId("app").hidden = byId("all").hidden = false;
  layOut();
  setUpControls();
  setUpTable();
  setUpHeat();
  const linked = fromHash();
  const first = store.overview.columns[0];
  const worst = first.taps.find((_, row) => !["identical", "not_compared"].includes(statusOf(first, row)));
  chosen.column = linked?.number ?? 0;
  chosen.tap = linked?.tap ?? worst ?? first.taps[0];
  byId("columns").querySelectorAll("input")[chosen.column].checked = true;
  table.chosen = [store.overview.columns[chosen.column], chosen.tap];
  drawRows();
  redrawHeat();
  addEventListener("hashchange", () => {
    const target = fromHash();
    if (target) choose(target.number, target.tap, { show: true });
  });
  addEventListener("beforeprint", () => redrawHeat(PAPER));
  addEventListener("afterprint", () => redrawHeat());
  performance.mark("interactive");
  await drawDetail(chosen.column, chosen.tap);
  performance.mark("charts");
  document.documentElement.dataset.ready = "true";
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    redrawHeat();
    drawDetail(chosen.column, chosen.tap);
  });
}

start().catch((error) => {
  byId("failure").textContent = `The heat map and the charts can't be shown: ${error.message}`;
  byId("failure").hidden = false;
  throw error;
});
