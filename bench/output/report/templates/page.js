"use strict";
// Sorts and filters the tables, switches the theme, and draws the plots once they come into view.

const known = JSON.parse(document.getElementById("filters-known").textContent);
const axes = Object.keys(known);
const form = document.getElementById("filters");
document.documentElement.classList.add("scripted");

// ---- what is switched off: for each axis the places of its values

function switchedOff() {
  const off = Object.fromEntries(axes.map((axis) => [axis, new Set()]));
  for (const box of form.querySelectorAll("input")) {
    if (!box.checked) off[box.name].add(box.value);
  }
  return off;
}

function rowIsShown(row, off) {
  return axes.every((axis) => {
    const places = row.getAttribute(`data-${axis}`);
    return !places || places.split(" ").every((place) => !off[axis].has(place));
  });
}

// ---- tables

function numberOf(text) {
  return text === "" ? NaN : Number(text.replaceAll(",", "").replace(/^inf$/, "Infinity").replace(/^-inf$/, "-Infinity"));
}

function sortTable(table, column) {
  const headings = [...table.tHead.rows[0].cells];
  const heading = headings[column];
  const down = heading.getAttribute("aria-sort") === "ascending";
  const numeric = heading.classList.contains("n");
  const rows = [...table.tBodies[0].rows].map((row) => [row.cells[column].textContent, row]);
  const sign = down ? -1 : 1;
  rows.sort(([one], [other]) => {
    if (one === "" || other === "") return (one === "") - (other === "");
    if (numeric) return sign * (numberOf(one) - numberOf(other));
    return sign * one.localeCompare(other, "en", { numeric: true });
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
  headings.forEach((cell) => cell.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  say(`Sorted by ${heading.textContent.trim()}, ${down ? "descending" : "ascending"}.`);
  showRows(table, switchedOff());
}

function showRows(table, off) {
  const limit = table.dataset.all ? Infinity : Number(table.dataset.limit);
  const inside = [...table.tBodies[0].rows].filter((row) => {
    row.hidden = !rowIsShown(row, off);
    return !row.hidden;
  });
  inside.slice(limit).forEach((row) => { row.hidden = true; });
  const button = table.moreButton;
  button.hidden = inside.length <= Number(table.dataset.limit);
  button.textContent = table.dataset.all ? `Show ${table.dataset.limit} rows` : `Show all ${inside.length} rows`;
  return inside.length;
}

function prepareTable(table) {
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = cell.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => sortTable(table, column));
  });
  const button = document.createElement("button");
  button.type = "button";
  button.className = "more";
  button.addEventListener("click", () => {
    if (table.dataset.all) delete table.dataset.all;
    else table.dataset.all = "yes";
    showRows(table, switchedOff());
  });
  table.closest(".scroll").after(button);
  table.moreButton = button;
}

const tables = [...document.querySelectorAll("table")];
tables.forEach(prepareTable);

function limitCards() {
  const cards = document.querySelector(".cards");
  if (!cards) return;
  const rest = [...cards.children].slice(Number(cards.dataset.limit));
  if (!rest.length) return;
  rest.forEach((card) => { card.hidden = true; });
  const button = document.createElement("button");
  button.type = "button";
  button.className = "more";
  button.textContent = `Show all ${cards.children.length}`;
  button.addEventListener("click", () => { rest.forEach((card) => { card.hidden = false; }); button.remove(); });
  cards.after(button);
}
limitCards();

function say(text) {
  document.getElementById("status").textContent = text;
}

// ---- theme

const themeButton = document.getElementById("theme");
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

let printing = false;

function isDark() {
  if (printing) return false;
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : prefersDark.matches;
}

function showTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Change to the ${isDark() ? "light" : "dark"} theme`);
  themeButton.setAttribute("aria-pressed", String(isDark()));
}

themeButton.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
  redraw();
});
prefersDark.addEventListener("change", () => { showTheme(); redraw(); });
showTheme();

// ---- plots

const figures = JSON.parse(document.getElementById("figures").textContent);
const plots = [...document.querySelectorAll(".plot")];
const drawn = new Set();
const darkColors = {
  "#0072b2": "#56b4e9", "#d55e00": "#f08a4b", "#000000": "#e0e3e6", "#009e73": "#3ccf9f", "#777777": "#a8afb6",
  "#4d4d4d": "#8b9299", "#cc0000": "#ff6b6b",
};
const config = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };

function traceIsShown(trace, off) {
  return axes.every((axis) => (trace.meta?.[axis] ?? []).every((value) => !off[axis].has(String(known[axis].indexOf(value)))));
}

function themed(figure) {
  let text = JSON.stringify(figure);
  if (isDark()) for (const [light, dark] of Object.entries(darkColors)) text = text.replaceAll(light, dark);
  const copy = JSON.parse(text);
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map((name) => style.getPropertyValue(name).trim());
  Object.assign(copy.layout, {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: ink },
    hoverlabel: { font: { family: "system-ui, sans-serif" } },
  });
  for (const axis of [copy.layout.xaxis, copy.layout.yaxis]) {
    Object.assign(axis, { gridcolor: line, linecolor: line, zeroline: false, fixedrange: true });
  }
  return copy;
}

function draw(plot) {
  const off = switchedOff();
  const figure = themed(figures[Number(plot.dataset.figure)]);
  figure.data = figure.data.filter((trace) => traceIsShown(trace, off));
  plot.closest("figure").hidden = figure.data.length === 0;
  if (figure.data.length === 0) return;
  const named = new Set();
  for (const trace of figure.data) {  // a filter may have taken the one trace of a group that stands in the legend
    if (trace.type === "bar") trace.showlegend = !named.has(trace.name);
    named.add(trace.name);
  }
  if (figure.layout.yaxis.type === "category") shrink(figure);
  plot.style.minHeight = `${figure.layout.height}px`;
  Plotly.react(plot, figure.data, figure.layout, config);
  drawn.add(plot);
}

function shrink(figure) {
  const left = new Set(figure.data.flatMap((trace) => trace.y));
  const rows = figure.layout.yaxis.categoryarray.filter((name) => left.has(name));
  figure.layout.height -= 24 * (figure.layout.yaxis.categoryarray.length - rows.length);
  figure.layout.yaxis.categoryarray = rows;
}

function redraw() {
  if (!window.Plotly) return;
  for (const plot of plots) {
    const figure = plot.closest("figure");
    if (drawn.has(plot) || figure.hidden) draw(plot);
    else figure.hidden = figures[Number(plot.dataset.figure)].data.every((trace) => !traceIsShown(trace, switchedOff()));
  }
}

async function unpackPlotly() {
  const packed = atob(document.getElementById("plotly-packed").textContent);
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

async function startPlots() {
  try {
    if (plots.length) await unpackPlotly();
  } catch (error) {
    document.querySelector(".needs-plots").hidden = false;
    document.querySelectorAll(".plots").forEach((part) => { part.hidden = true; });
    return;
  }
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "600px" });
  plots.forEach((plot) => watcher.observe(plot));
}

// ---- filters, links into closed tables, and print

function applyFilters() {
  const off = switchedOff();
  const rows = tables.reduce((count, table) => count + showRows(table, off), 0);
  say(`${rows} table rows match.`);
  redraw();
}

form.addEventListener("change", applyFilters);
form.addEventListener("reset", () => setTimeout(applyFilters));
form.addEventListener("submit", (event) => event.preventDefault());
tables.forEach((table) => showRows(table, switchedOff()));
if (window.matchMedia("(max-width: 40rem)").matches) form.querySelector("details").open = false;

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.matches("details")) {
    target.open = true;
    target.scrollIntoView();
  }
}
window.addEventListener("hashchange", openTarget);
document.addEventListener("click", (event) => { if (event.target.closest(".as-table a")) setTimeout(openTarget); });
openTarget();

window.addEventListener("beforeprint", () => {
  printing = true;
  if (window.Plotly) plots.forEach(draw);
  for (const details of document.querySelectorAll("details.table:not([open])")) {
    details.open = true;
    details.dataset.printed = "yes";
  }
});
window.addEventListener("afterprint", () => {
  printing = false;
  redraw();
  for (const details of document.querySelectorAll("details[data-printed]")) {
    details.open = false;
    delete details.dataset.printed;
  }
});

startPlots();
