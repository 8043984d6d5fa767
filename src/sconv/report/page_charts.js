// What the lines of a chart say at one place: at the mouse, or where the arrow keys have gone.
const over = (chart) => chart.name === "curves" ? document.querySelector("#over").selectedOptions[0].textContent : "steps";
const lines = (chart) => chart.renderers.filter((line) => line.visible && line.glyph.type === "Line" && line.data_source.name);
const shown = (value) => value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(2) : value.toFixed(4);
const MOST = 14;

function reading(line, x) {
  const { data, name, tags } = line.data_source, column = line.glyph.y.field;
  const at = Array.from(data[line.glyph.x.field]), mean = Array.from(data[column]);
  if (!at.length) return null;
  const near = at.reduce((best, one, i) => (Math.abs(one - x) < Math.abs(at[best] - x) ? i : best), 0);
  const deviation = data[`${column}_deviation`]?.[near], n = data.n?.[near] ?? tags[0];
  const text = shown(mean[near]) + (deviation === undefined ? "" : ` ± ${shown(deviation)}`) + (n > 1 ? ` (n = ${n})` : "");
  return { name, text, x: at[near], apart: Math.abs(at[near] - x), colour: line.glyph.line_color.value ?? line.glyph.line_color, ends: [at[0], at.at(-1)] };
}

function point(box, chart, sx) {
  const { frame } = viewOf(chart), { left, right, top, bottom } = frame.bbox;
  if (sx < left || sx > right) return leave(box);
  const x = frame.x_scale.invert(sx), reach = Math.abs(frame.x_scale.invert(sx + 30) - x);
  const found = lines(chart).map((line) => reading(line, x)).filter((one) => one && (one.apart <= reach || (one.ends[0] <= x && x <= one.ends[1])));
  if (!found.length) return leave(box);
  const [tip, rule] = parts(box), nearest = found.reduce((best, one) => (one.apart < best.apart ? one : best));
  const head = document.createElement("strong");
  head.textContent = `${over(chart)} ${Number(nearest.x.toPrecision(6)).toLocaleString("en")}`;
  tip.replaceChildren(head, ...found.slice(0, MOST).map((one) => {
    const row = document.createElement("div"), dot = document.createElement("i"), name = document.createElement("span"), value = document.createElement("b");
    dot.style.background = one.colour;
    [name.textContent, value.textContent] = [one.name, one.text];
    row.append(dot, name, value);
    return row;
  }), found.length > MOST ? `and ${found.length - MOST} more` : "");
  const at = frame.x_scale.compute(nearest.x);
  Object.assign(rule.style, { left: `${at}px`, top: `${top}px`, height: `${bottom - top}px` });
  const side = at > box.clientWidth / 2 ? { right: `${box.clientWidth - at + 12}px`, left: "auto" } : { left: `${at + 12}px`, right: "auto" };
  Object.assign(tip.style, side, { top: `${top + 8}px` });
  box.dataset.at = sx;
}
function parts(box) {
  if (!box.querySelector(".tip")) for (const kind of ["tip", "pointer"]) box.append(Object.assign(document.createElement("div"), { className: kind }));
  return [box.querySelector(".tip"), box.querySelector(".pointer")];
}
function leave(box) { all(".tip, .pointer", box).forEach((part) => part.remove()); delete box.dataset.at; }

function listen(box) {
  const chart = chartOf(box.closest("figure").id);
  box.addEventListener("pointermove", (event) => point(box, chart, event.clientX - box.getBoundingClientRect().x));
  box.addEventListener("pointerleave", () => leave(box));
  box.addEventListener("blur", () => leave(box));
  box.addEventListener("dblclick", () => fit(chart));
  box.addEventListener("keydown", (event) => {
    const { left, right } = viewOf(chart).frame.bbox, step = (right - left) / 40, now = Number(box.dataset.at ?? left);
    const to = { ArrowRight: Math.min(right, now + step), ArrowLeft: Math.max(left, now - step), Home: left, End: right }[event.key];
    if (event.key === "Escape") leave(box);
    if (to === undefined) return;
    event.preventDefault();
    box.dataset.at = to;
    point(box, chart, to);
    document.querySelector("#said").textContent = all(".tip > *", box).map((part) => part.innerText.replaceAll("\n", " ")).join(", ");
  });
}

// A picture to keep: the chart with its title, the names of its lines, and what the runs were made of.
const SVG = "http://www.w3.org/2000/svg";
function element(kind, attributes, text = "") {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}
function wrapped(text, most) {
  return text.split(" ").reduce((rows, word) => (rows.at(-1).length + word.length < most ? [...rows.slice(0, -1), `${rows.at(-1)} ${word}`] : [...rows, word]), [""]);
}
function picture(figure) {
  const chart = chartOf(figure.id), drawn = viewOf(chart).export("svg", false).canvas;
  const [width, height] = [Number(drawn.getAttribute("width")), Number(drawn.getAttribute("height"))];
  const whole = element("svg", { xmlns: SVG, width, "font-family": "sans-serif" });
  const small = [figure.querySelector("figcaption")?.textContent ?? "", document.querySelector("#made").textContent];
  let y = 22;
  const paper = element("rect", { width, fill: colour("--paper") });
  whole.append(paper, element("text", { x: 10, y, "font-size": 14, "font-weight": 600, fill: colour("--ink") }, figure.querySelector("h3").textContent));
  drawn.setAttribute("y", (y += 10));
  whole.append(drawn);
  y += height + 16;
  for (const line of lines(chart)) {
    const stroke = line.glyph.line_color.value ?? line.glyph.line_color, dash = [line.glyph.line_dash.value ?? line.glyph.line_dash].flat().join(" ");
    whole.append(element("line", { x1: 10, x2: 36, y1: y - 4, y2: y - 4, stroke, "stroke-width": 2.5, "stroke-dasharray": { solid: "none", dashed: "6 3", dotted: "2 3", dashdot: "6 3 2 3" }[dash] ?? (dash || "none") }));
    whole.append(element("text", { x: 42, y, "font-size": 12, fill: colour("--ink") }, line.data_source.name));
    y += 17;
  }
  for (const row of small.flatMap((text) => wrapped(text, Math.floor(width / 5.4)))) {
    if (row) whole.append(element("text", { x: 10, y, "font-size": 10, fill: colour("--soft") }, row));
    if (row) y += 13;
  }
  for (const each of [whole, paper]) each.setAttribute("height", y);
  return { text: new XMLSerializer().serializeToString(whole), width, height: y };
}
function keep(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
async function save(figure, kind) {
  const { text, width, height } = picture(figure), vector = new Blob([text], { type: "image/svg+xml" });
  if (kind === "svg") return keep(vector, `${figure.id}.svg`);
  const image = new Image(), canvas = Object.assign(document.createElement("canvas"), { width: 2 * width, height: 2 * height });
  image.src = URL.createObjectURL(vector);
  await image.decode();
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => keep(blob, `${figure.id}.png`), "image/png");
}
all(".save").forEach((button) => button.addEventListener("click", () => save(button.closest("figure"), button.dataset.kind)));

// A finger on a chart should scroll the page.
const restful = matchMedia("(pointer: coarse)").matches;
function drawn() {
  for (const chart of charts()) {
    if (restful) for (const tool of chart.toolbar.tools) tool.active = false;
    viewOf(chart).canvas_view.events_el.tabIndex = -1;  // the chart is one stop of the Tab key: its box
    fit(chart);
  }
  all(".chart").forEach(listen);
  paint(root.classList.contains("dark"));
}
(function wait() { const wanted = all("figure").length; charts().length === wanted && charts().every((chart) => viewOf(chart)?.canvas_view) ? drawn() : setTimeout(wait, 20); })();
