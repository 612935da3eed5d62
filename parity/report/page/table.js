// Every tap of every column as a row. Only the rows in view exist.

const ROW = 28;
const SPARE = 12;
// [heading, of a row [column, row], how it is shown]
const COLUMNS = [
  ["column", ([c]) => c.name],
  ["tap", ([c, r]) => store.overview.taps[c.taps[r]]],
  ["status", ([c, r]) => statusOf(c, r)],
  ["mismatched", ([c, r]) => valueOf(c, r, "share"), shownShare],
  ["p99 ULP", ([c, r]) => valueOf(c, r, "p99_ulp"), shownNumber],
  ["max ULP", ([c, r]) => valueOf(c, r, "max_ulp"), shownNumber],
  ["max error", ([c, r]) => valueOf(c, r, "max_abs"), shownNumber],
  ["rel. L2", ([c, r]) => valueOf(c, r, "rel_l2"), shownNumber],
  ["local", ([c, r]) => valueOf(c, r, "local_rel_l2"), shownNumber],
  ["to oracle", ([c, r]) => valueOf(c, r, "oracle_ratio"), shownNumber],
];
const table = { all: [], shown: [], sort: null, down: false, body: null, chosen: null };

function setUpTable() {
  table.all = store.overview.columns.flatMap((column) => column.taps.map((_, row) => [column, row]));
  const options = (id, words, values) =>
    byId(id).append(element("option", words, { value: "" }), ...values.map(([v, text]) => element("option", text, { value: v })));
  options("in-column", "all", store.overview.columns.map((column, i) => [i, column.name]));
  options("in-status", "all", store.overview.statuses.map((status) => [status, status.replace("_", " ")]));
  const head = element("div", undefined, { className: "line head" });
  head.setAttribute("role", "row");
  COLUMNS.forEach(([heading, , shown], i) => {
    const cell = element("div", undefined, { className: shown ? "number" : "" });
    cell.setAttribute("role", "columnheader");
    const button = element("button", heading, { type: "button" });
    button.addEventListener("click", () => sortBy(i, head));
    cell.append(button);
    head.append(cell);
  });
  table.body = element("div", undefined, { className: "body" });
  table.body.setAttribute("role", "rowgroup");
  byId("rows").append(head, table.body);
  byId("rows").addEventListener("scroll", () => requestAnimationFrame(drawRows), { passive: true });
  for (const id of ["find", "in-column", "in-status"]) byId(id).addEventListener("input", filterRows);
  filterRows();
}

function sortBy(i, head) {
  table.down = table.sort === i ? !table.down : Boolean(COLUMNS[i][2]);
  table.sort = i;
  [...head.children].forEach((cell, k) => {
    cell.setAttribute("aria-sort", k !== i ? "none" : table.down ? "descending" : "ascending");
    cell.firstChild.textContent = COLUMNS[k][0] + (k !== i ? "" : table.down ? " ↓" : " ↑");
  });
  filterRows();
}

function filterRows() {
  const words = byId("find").value.toLowerCase();
  const number = byId("in-column").value;
  const column = number === "" ? null : store.overview.columns[number];
  const status = byId("in-status").value;
  table.shown = table.all.filter((row) =>
    (!column || row[0] === column) &&
    (!status || statusOf(...row) === status) &&
    (!words || COLUMNS[1][1](row).toLowerCase().includes(words)));
  if (table.sort !== null) {
    const of = COLUMNS[table.sort][1];
    const sign = table.down ? -1 : 1;
    // What wasn't measured stands last, whichever way.
    const keyed = table.shown.map((row) => [of(row), row]);
    keyed.sort(([a], [b]) => (a === null) - (b === null) || (a === b ? 0 : sign * (a < b ? -1 : 1)));
    table.shown = keyed.map(([, row]) => row);
  }
  byId("found").textContent = `${table.shown.length} of ${table.all.length}`;
  byId("rows").setAttribute("aria-rowcount", String(table.shown.length + 1));
  table.body.style.height = `${table.shown.length * ROW}px`;
  byId("rows").scrollTop = 0;
  drawRows();
}

function drawRows() {
  const view = byId("rows");
  const first = Math.max(0, Math.floor(view.scrollTop / ROW) - SPARE);
  const last = Math.min(table.shown.length, Math.ceil((view.scrollTop + view.clientHeight) / ROW) + SPARE);
  const focused = table.body.contains(document.activeElement) ? document.activeElement.hash : null;
  const lines = [];
  for (let i = first; i < last; i++) lines.push(lineOf(table.shown[i], i));
  table.body.replaceChildren(...lines);
  if (focused) [...table.body.querySelectorAll("a")].find((a) => a.hash === focused)?.focus({ preventScroll: true });
}

function lineOf(row, i) {
  const [column, r] = row;
  const line = element("div", undefined, { className: "line" });
  line.setAttribute("role", "row");
  line.setAttribute("aria-rowindex", String(i + 2));
  line.style.top = `${i * ROW}px`;
  const chosen = table.chosen && table.chosen[0] === column && table.chosen[1] === column.taps[r];
  if (chosen) line.classList.add("chosen");
  COLUMNS.forEach(([, of, shown], k) => {
    const value = of(row);
    const cell = element("div", undefined, { className: shown ? "cell number" : "cell" });
    cell.setAttribute("role", "cell");
    if (k === 1) cell.append(element("a", value, { href: hashOf(column, column.taps[r]), title: value }));
    else cell.textContent = shown ? shown(value) : value.replace("_", " ");
    line.append(cell);
  });
  return line;
}
