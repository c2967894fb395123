// Draws the charts as they come into view, filters charts and tables, sorts tables, changes the theme.
const root = document.documentElement;
const form = document.getElementById("filters");
const specs = JSON.parse(document.getElementById("charts").textContent);
const settings = JSON.parse(document.getElementById("chart-settings").textContent);
root.classList.add("scripted");

// ---- theme: colours of page and charts are CSS variables, so that nothing is drawn again

const button = document.getElementById("theme");
function showTheme(theme) {
  root.dataset.theme = theme;
  button.textContent = theme === "dark" ? "Light" : "Dark";
  button.setAttribute("aria-label", `Change to the ${button.textContent.toLowerCase()} theme`);
}
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
prefersDark.addEventListener("change", () => showTheme(prefersDark.matches ? "dark" : "light"));
button.addEventListener("click", () => showTheme(root.dataset.theme === "dark" ? "light" : "dark"));
showTheme(prefersDark.matches ? "dark" : "light");

// ---- filters: a row is shown if nothing that it is about is switched off

const switchedOff = () => new Set([...form.querySelectorAll("input:not(:checked)")].map((box) => box.value));
const about = (row) => settings.about.filter((name) => row[name] != null).map((name) => String(row[name]));
const isShown = (names, off) => names.every((name) => !off.has(name));

function filterTables() {
  const off = switchedOff();
  let shown = 0;
  for (const row of document.querySelectorAll("tr[data-about]")) {
    row.hidden = !isShown(JSON.parse(row.dataset.about), off);
    shown += !row.hidden;
  }
  document.getElementById("status").textContent = `${shown} table rows are shown.`;
}

// ---- charts: panels beside each other as the window has room, each as wide as the rest allows

const LEAST_PANEL = 250;
const drawn = new Map();

async function draw(place) {
  const width = place.clientWidth;
  drawn.set(place, drawn.get(place));  // it has been begun
  const spec = structuredClone(specs[place.dataset.chart]);
  const off = switchedOff();
  const rows = Object.values(spec.data)[0].filter((row) => isShown(about(row), off));
  spec.data = { values: rows };
  delete place.dataset.drawn;
  place.closest("figure").hidden = rows.length === 0;
  if (!rows.length) return;
  const series = new Set(rows.map((row) => row.series));
  for (const { legend } of spec.spec.layer.flatMap((layer) => Object.values(layer.encoding))) {
    if (legend?.values) legend.values = legend.values.filter((name) => series.has(name));
  }
  const panels = new Set(rows.map((row) => row.panel)).size;
  spec.columns = Math.max(1, Math.min(spec.columns, panels, Math.floor(width / LEAST_PANEL)));
  const legend = { ...settings.config.legend, columns: Math.max(1, Math.floor(width / 140)) };
  const options = { ast: true, renderer: "svg", actions: false, config: { ...settings.config, legend }, logLevel: 1 };
  let panel = Math.floor(width / spec.columns) - 90;
  for (let attempt = 0; attempt < 2; attempt += 1) {  // what labels and legends take is known once they are drawn
    spec.spec.width = Math.max(120, panel);
    drawn.get(place)?.finalize();
    const { view } = await vegaEmbed(place, spec, options);
    drawn.set(place, view);
    const over = place.querySelector("svg").getBBox().width - width;
    if (Math.abs(over) < 12) break;
    panel -= Math.ceil(over / spec.columns);
  }
  place.dataset.drawn = "yes";
}

const charts = [...document.querySelectorAll(".chart")];
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting && !drawn.has(target)) draw(target);
  }
}, { rootMargin: "500px" });
charts.forEach((place) => watcher.observe(place));

async function drawRest() {  // those that nobody has scrolled to, so that a printed page is complete
  for (const place of charts) {
    if (!drawn.has(place)) await draw(place);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
window.addEventListener("load", () => setTimeout(drawRest, 1000));

let width = window.innerWidth;
let waiting;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(() => drawn.forEach((_, place) => draw(place)), 150);
});

form.addEventListener("change", () => { filterTables(); charts.forEach((place) => drawn.has(place) && draw(place)); });
form.addEventListener("reset", () => setTimeout(() => form.dispatchEvent(new Event("change"))));
form.addEventListener("submit", (event) => event.preventDefault());
if (window.matchMedia("(max-width: 40rem)").matches) form.querySelector("details").open = false;

// ---- sorting

const numberOf = (text) => (text === "never" ? Infinity : parseFloat(text.replaceAll(",", "")));
function sortBy(heading) {
  const table = heading.closest("table");
  const column = heading.cellIndex;
  const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const text = (row) => row.cells[column].textContent;
  const compare = heading.classList.contains("n")
    ? (one, other) => sign * (numberOf(text(one)) - numberOf(text(other)))
    : (one, other) => sign * text(one).localeCompare(text(other), "en", { numeric: true });
  const rows = [...table.tBodies[0].rows];
  const [filled, empty] = [rows.filter(text), rows.filter((row) => !text(row))];
  table.tBodies[0].append(...filled.sort(compare), ...empty);
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
}
for (const heading of document.querySelectorAll("thead button")) {
  heading.disabled = false;
  heading.addEventListener("click", () => sortBy(heading.closest("th")));
}

// ---- links into closed tables, and print

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.matches("details")) {
    target.open = true;
    target.scrollIntoView();
  }
}
window.addEventListener("hashchange", openTarget);
openTarget();
const closed = new Set();
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details.table:not([open])").forEach((table) => closed.add(table));
  closed.forEach((table) => { table.open = true; });
});
window.addEventListener("afterprint", () => {
  closed.forEach((table) => { table.open = false; });
  closed.clear();
});
