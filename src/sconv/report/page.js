"use strict";
const all = (selector) => [...document.querySelectorAll(selector)];
const root = document.documentElement;

// The table: a click sorts, a second one turns round; what has no number goes last.
const number = (text) => { const found = text.replaceAll(",", "").match(/[-+]?\d+(\.\d+)?/); return found ? Number(found[0]) : null; };
all("#results thead th").forEach((head, column) => head.firstChild.addEventListener("click", () => {
  const up = head.getAttribute("aria-sort") !== "ascending";
  all("#results thead th").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const sign = up ? 1 : -1, text = (row) => row.children[column].textContent;
  const body = document.querySelector("#results tbody");
  [...body.rows].sort((a, b) => {
    if (column === 0) return sign * text(a).localeCompare(text(b), undefined, { numeric: true });
    const [x, y] = [number(text(a)), number(text(b))];
    return x === null || y === null ? (x === null) - (y === null) : sign * (x - y);
  }).forEach((row) => body.append(row));
}));

const charts = () => (window.Bokeh?.documents ?? []).flatMap((one) => one.roots());
const chartOf = (id) => charts().find((chart) => document.querySelector(`#${id} [data-root-id="${chart.id}"]`));

function show() {
  const seeds = document.querySelector("#seeds")?.checked;
  all(".chip").forEach((chip) => {
    const on = chip.getAttribute("aria-pressed") === "true", group = chip.dataset.group;
    document.querySelector(`#results tr[data-group="${group}"]`).classList.toggle("off", !on);
    for (const chart of charts()) for (const line of chart.renderers) {
      if (line.name === `group${group}`) line.visible = on;
      if (line.name === `seeds${group}`) line.visible = on && seeds;
    }
  });
}
function press(chips, on) { chips.forEach((chip) => chip.setAttribute("aria-pressed", on)); show(); }
all(".chip").forEach((chip) => chip.addEventListener("click", () => press([chip], chip.getAttribute("aria-pressed") !== "true")));
document.querySelector("#all")?.addEventListener("click", () => press(all(".chip"), true));
document.querySelector("#none")?.addEventListener("click", () => press(all(".chip"), false));
document.querySelector("#seeds")?.addEventListener("change", show);

document.querySelector("#over")?.addEventListener("change", (event) => charts().forEach((chart) => {
  for (const line of chart.renderers) (line.glyph.xs ? (line.glyph.xs = { field: event.target.value }) : (line.glyph.x = { field: event.target.value }));
  chart.below[0].axis_label = event.target.selectedOptions[0].textContent;
}));

// Scale, ticker and formatter belong together; the ones to change to come with each chart.
function scale(chart, side, logarithmic) {
  const x = side === "x", axis = x ? chart.below[0] : chart.left[0];
  const [like, kind] = chart.tags.slice(logarithmic ? 0 : 2);
  axis.ticker = like.ticker;
  axis.formatter = like.formatter;
  chart[x ? "x_scale" : "y_scale"] = kind;
}
document.querySelector("#logx")?.addEventListener("change", (event) => charts().forEach((chart) => scale(chart, "x", event.target.checked)));
all(".logy").forEach((box) => box.addEventListener("change", () => scale(chartOf(box.closest("figure").id), "y", box.checked)));

// A finger on a chart should scroll the page; the toolbar's buttons switch zooming on.
const restful = matchMedia("(pointer: coarse)").matches;

// Light and dark: the system's choice until the button is pressed.
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
function paint(dark) {
  root.classList.toggle("dark", dark);
  document.querySelector("#theme").textContent = dark ? "light" : "dark";
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  for (const chart of charts()) {
    chart.outline_line_color = colour("--line");
    for (const axis of [...chart.below, ...chart.left]) axis.setv({ axis_label_text_color: colour("--soft"), major_label_text_color: colour("--soft"), axis_line_color: colour("--line"), major_tick_line_color: colour("--line"), minor_tick_line_color: colour("--line") });
    for (const grid of chart.center) if ("grid_line_color" in grid) grid.grid_line_color = colour("--line");
  }
}
document.querySelector("#theme").addEventListener("click", () => paint(!root.classList.contains("dark")));
prefersDark.addEventListener("change", (event) => paint(event.matches));
paint(prefersDark.matches);
function drawn() {
  if (restful) for (const chart of charts()) for (const tool of chart.toolbar.tools) if (tool.active && tool.type !== "HoverTool") tool.active = false;
  paint(root.classList.contains("dark"));
}
(function wait() { charts().length || !document.querySelector("figure") ? drawn() : setTimeout(wait, 20); })();
