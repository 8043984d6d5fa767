"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const root = document.documentElement;

// The table: a click sorts, a second one turns round; what has no number goes last.
const number = (text) => { const found = text.trim().split(/\s/)[0].replaceAll(",", "").match(/[-+]?\d+(\.\d+)?/); return found ? Number(found[0]) : null; };
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
document.querySelector("#more").addEventListener("change", (event) => document.querySelector("#results").classList.toggle("whole", event.target.checked));

const charts = () => (window.Bokeh?.documents ?? []).flatMap((one) => one.roots());
const curves = () => charts().filter((chart) => chart.name === "curves");
const chartOf = (id) => charts().find((chart) => document.querySelector(`#${id} [data-root-id="${chart.id}"]`));
const figureOf = (chart) => document.querySelector(`[data-root-id="${chart.id}"]`).closest("figure");
const viewOf = (chart) => Bokeh.index.find_one(chart);

function show() {
  const seeds = document.querySelector("#seeds")?.checked;
  all(".chip").forEach((chip) => {
    const on = chip.getAttribute("aria-pressed") === "true", group = chip.dataset.group;
    document.querySelector(`#results tr[data-group="${group}"]`).classList.toggle("off", !on);
    for (const chart of curves()) for (const line of chart.renderers) {
      if (line.name === `group${group}`) line.visible = on;
      if (line.name === `seeds${group}`) line.visible = on && seeds;
    }
  });
  curves().forEach(fit);
}
function press(chips, on) { chips.forEach((chip) => chip.setAttribute("aria-pressed", on)); show(); }
all(".chip").forEach((chip) => chip.addEventListener("click", () => press([chip], chip.getAttribute("aria-pressed") !== "true")));
document.querySelector("#all")?.addEventListener("click", () => press(all(".chip"), true));
document.querySelector("#none")?.addEventListener("click", () => press(all(".chip"), false));
document.querySelector("#seeds")?.addEventListener("change", show);

document.querySelector("#over")?.addEventListener("change", (event) => curves().forEach((chart) => {
  for (const line of chart.renderers) (line.glyph.xs ? (line.glyph.xs = { field: event.target.value }) : (line.glyph.x = { field: event.target.value }));
  chart.below[0].axis_label = event.target.selectedOptions[0].textContent;
  fit(chart);
}));

// Scale, ticker and formatter belong together; the ones to change to come with each chart.
function scale(chart, side, logarithmic) {
  const x = side === "x", axis = x ? chart.below[0] : chart.left[0];
  const [like, kind] = chart.tags.slice(logarithmic ? 0 : 2);
  if (!x || chart.name === "curves") axis.setv({ ticker: like.ticker, formatter: like.formatter });  // else: the budgets
  chart[x ? "x_scale" : "y_scale"] = kind;
  fit(chart);
}
document.querySelector("#logx")?.addEventListener("change", (event) => curves().forEach((chart) => scale(chart, "x", event.target.checked)));
for (const side of ["x", "y"]) all(`.log${side}`).forEach((box) => box.addEventListener("change", () => scale(chartOf(box.closest("figure").id), side, box.checked)));

// All that is seen, and a little room; an accuracy never above 1, a loss on its linear axis from 0.
const numbers = (column) => column === undefined ? [] : Array.from(column).flatMap((one) => typeof one === "number" ? [one] : Array.from(one));
const FIELDS = { x: ["x", "xs", "x0"], y: ["y", "ys", "y1", "y2"] };
function fit(chart) {
  for (const side of ["x", "y"]) {
    const logarithmic = chart[`${side}_scale`].type === "LogScale", turn = logarithmic ? Math.log : (one) => one;
    const values = chart.renderers.filter((line) => line.visible && line.name !== "whiskers").flatMap((line) =>
      FIELDS[side].flatMap((name) => line.glyph[name]?.field ? numbers(line.data_source.data[line.glyph[name].field]) : []));
    const kept = values.filter((one) => Number.isFinite(one) && !(logarithmic && one <= 0)).map(turn);
    if (!kept.length) continue;
    let [low, high] = kept.reduce(([a, b], one) => [Math.min(a, one), Math.max(b, one)], [Infinity, -Infinity]);
    const room = 0.05 * (high - low) || Math.abs(high) * 0.05 || 1;
    [low, high] = logarithmic ? [Math.exp(low - room), Math.exp(high + room)] : [low - room, high + room];
    if (side === "y") {
      const { lowest, highest } = figureOf(chart).dataset;
      if (lowest !== "" && !logarithmic) low = Number(lowest);
      if (highest !== "" && high > Number(highest)) high = Number(highest);
    }
    chart[`${side}_range`].setv({ start: low, end: high });
  }
}

// Light and dark: the system's choice until the button is pressed.
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
function paint(dark) {
  root.classList.toggle("dark", dark);
  document.querySelector("#theme").textContent = dark ? "light" : "dark";
  for (const chart of charts()) {
    chart.outline_line_color = colour("--line");
    for (const axis of [...chart.below, ...chart.left]) axis.setv({ axis_label_text_color: colour("--soft"), major_label_text_color: colour("--soft"), axis_line_color: colour("--line"), major_tick_line_color: colour("--line"), minor_tick_line_color: colour("--line") });
    for (const each of chart.center) "text" in each ? (each.background_fill_color = colour("--paper")) : (each.grid_line_color = colour("--line"));
  }
}
document.querySelector("#theme").addEventListener("click", () => paint(!root.classList.contains("dark")));
prefersDark.addEventListener("change", (event) => paint(event.matches));
paint(prefersDark.matches);
