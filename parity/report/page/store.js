// The data of the page, and how its values are shown. All text goes into the page as text.

const byId = (id) => document.getElementById(id);

async function unpacked(id) {
  const binary = atob(byId(id).textContent);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const store = { overview: null, pieces: new Map() };

async function loadOverview() {
  store.overview = JSON.parse(await unpacked("overview"));
  for (const column of store.overview.columns) {
    column.rowOf = new Map(column.taps.map((tap, row) => [tap, row]));
  }
}

async function profileOf(column, row) {
  const piece = Math.floor(row / store.overview.piece);
  const id = `profiles-${column}-${piece}`;
  if (!store.pieces.has(id)) store.pieces.set(id, unpacked(id).then(JSON.parse));
  return (await store.pieces.get(id))[row % store.overview.piece];
}

// The charts' library, which takes longer to start than all else: not before a chart is due.
let starting = null;

function library() {
  starting ??= unpacked("library").then((text) => {
    document.head.append(element("script", text));
  });
  return starting;
}

const statusOf = (column, row) => store.overview.statuses[column.status[row]];

// Shares of all elements: counts over sizes.
const SHARES = { share: "mismatched", stage_share: "stage_mismatched" };

function valueOf(column, row, key) {
  if (key in SHARES) {
    const [count, size] = [column.figures[SHARES[key]][row], column.figures.size[row]];
    return size && count !== null ? count / size : null;
  }
  return column.figures[key][row];
}

const shortened = (text, width) => {
  const letters = Array.from(text);
  return letters.length > width ? letters.slice(0, width - 1).join("") + "…" : text;
};

// Of a name whose beginning others have too.
const endOf = (text, width) => {
  const letters = Array.from(text);
  return letters.length > width ? `…${letters.slice(1 - width).join("")}` : text;
};

function shownNumber(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e7) return String(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(digits - 1);
  return String(Number(value.toPrecision(digits)));
}

function shownShare(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const percent = 100 * value;
  return percent < 0.01 ? "<.01%" : `${Number(percent.toPrecision(percent < 1 ? 1 : 3))}%`;
}

// For a narrow cell.
function briefly(value) {
  const size = Math.abs(value);
  if (size >= 1e4 || size < 0.01) return value.toExponential(0).replace("e+", "e");
  return String(Number(value.toPrecision(size < 100 ? 2 : 4)));
}

// The same of a share; 100% is said of all elements only.
const brieflyShare = (value) => (value > 0.1 ? `${Math.min(99, Math.round(100 * value)) + (value === 1)}%` : shownShare(value));

function element(name, text, properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  if (text !== undefined) made.textContent = text;
  return made;
}
