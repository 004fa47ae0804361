"use strict";
// One small plot per metric: every point, and mean and spread over what is not on the x axis.

const WIDTH = 300, HEIGHT = 176;
const INSIDE = { left: 46, right: 12, top: 10, bottom: 30 };
const FIRST_PLOTS = ["wer", "duration_s", "trailing_silence_s", "loudness_lufs",
  "f0_median_hz", "words_per_s", "spectral_flatness", "semantic_entropy_bits", "semantic_repeat_share"];
const N_COLOURS = 8;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Values of a column, each once: numbers by size, the rest in order of appearance. */
function valuesOf(rows, column) {
  const values = [...new Set(rows.map((row) => row[column] ?? null))];
  const numbers = values.filter((value) => typeof value === "number").sort((a, b) => a - b);
  return [...values.filter((value) => typeof value !== "number"), ...numbers];
}

/** From a value to a place on the x axis, and the ticks. Text and "off" stand side by side. */
function xScale(rows, column) {
  const values = valuesOf(rows, column);
  const [from, to] = [INSIDE.left + 12, WIDTH - INSIDE.right - 12];
  if (column !== "seed" && values.length > 1 && values.every((value) => typeof value === "number")) {
    const [low, high] = [values[0], values.at(-1)];
    const at = (value) => from + (to - from) * (value - low) / (high - low);
    return { at, ticks: thin(values, at).map((value) => [at(value), String(value)]), gap: (to - from) / values.length };
  }
  const gap = (to - from) / values.length;
  const at = (value) => from + gap * (values.indexOf(value ?? null) + 0.5);
  const letters = Math.max(3, Math.floor(gap / 6));
  const every = Math.ceil(values.length / 12);
  const text = (value) => setting(value, column);
  const cut = (value) => value.length > letters ? `${value.slice(0, letters - 1)}…` : value;
  const shown = values.filter((_, index) => index % every === 0);
  return { at, ticks: shown.map((value) => [at(value), cut(text(value)), text(value)]), gap };
}

/** Leaves out ticks that would touch. */
function thin(values, at) {
  const kept = [];
  for (const value of values) {
    if (!kept.length || at(value) - at(kept.at(-1)) > 26) kept.push(value);
  }
  return kept;
}

/** Round numbers that span low … high. */
function niceTicks(low, high) {
  const rough = (high - low) / 4.5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) {
    ticks.push(Number(tick.toPrecision(12)));
  }
  return ticks;
}

function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

function deviation(numbers) {
  const centre = mean(numbers);
  return Math.sqrt(mean(numbers.map((number) => (number - centre) ** 2)));
}

/** The ends of all bars of deviation. */
function barsOf(rows, metric, x, colour) {
  const together = Map.groupBy(rows, (row) => JSON.stringify([row[x] ?? null, row[colour] ?? null]));
  return [...together.values()].flatMap((column) => {
    const numbers = column.map((row) => row[metric]);
    return [mean(numbers) - deviation(numbers), mean(numbers) + deviation(numbers)];
  });
}

/** A plot of `metric` against `x`, one line per value of `colour`. */
function plot(rows, metric, x, colour, onPoint) {
  const known = rows.filter((row) => typeof row[metric] === "number");
  const numbers = known.map((row) => row[metric]);
  const ends = barsOf(known, metric, x, colour);
  let [low, high] = [Math.min(...numbers, ...ends), Math.max(...numbers, ...ends)];
  const margin = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  [low, high] = [low - margin, high + margin];
  const atY = (value) => INSIDE.top + (HEIGHT - INSIDE.top - INSIDE.bottom) * (high - value) / (high - low);
  const scale = xScale(rows, x);
  const label = `${nameOf(metric)} against ${shortName(x)}`;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  for (const tick of niceTicks(low, high)) {
    picture.append(
      svg("line", { class: "grid", x1: INSIDE.left, x2: WIDTH - INSIDE.right, y1: atY(tick), y2: atY(tick) }),
      svg("text", { class: "tick", x: INSIDE.left - 6, y: atY(tick) + 3.5, "text-anchor": "end" }, String(tick)),
    );
  }
  for (const [place, text, whole] of scale.ticks) {
    const tick = svg("text", { class: "tick", x: place, y: HEIGHT - 10, "text-anchor": "middle" }, text);
    if (whole && whole !== text) tick.append(svg("title", {}, whole));
    picture.append(tick);
  }
  const groups = colour ? valuesOf(rows, colour) : [null];
  groups.forEach((group, index) => {
    const members = colour ? known.filter((row) => (row[colour] ?? null) === group) : known;
    const shift = (index - (groups.length - 1) / 2) * Math.min(7, scale.gap / (groups.length + 1));
    picture.append(drawGroup(members, metric, x, scale, atY, shift, index % N_COLOURS, onPoint));
  });
  return picture;
}

function drawGroup(rows, metric, x, scale, atY, shift, colour, onPoint) {
  const layer = svg("g", { class: `c${colour}` });
  const middle = [];
  for (const value of valuesOf(rows, x)) {
    const column = rows.filter((row) => (row[x] ?? null) === value);
    const numbers = column.map((row) => row[metric]);
    const place = scale.at(value) + shift;
    const [centre, spread] = [mean(numbers), deviation(numbers)];
    middle.push(`${place},${atY(centre)}`);
    layer.append(svg("line", { class: "spread", x1: place, x2: place, y1: atY(centre - spread), y2: atY(centre + spread) }));
    for (const row of column) {
      const dot = svg("circle", { class: "dot", cx: place, cy: atY(row[metric]), r: 3.2 });
      dot.append(svg("title", {}, `${show(row[metric])} ${unitOf(metric)}\n${describe(row)}`));
      dot.addEventListener("click", () => onPoint(row));
      layer.append(dot);
    }
  }
  if (middle.length > 1) layer.prepend(svg("polyline", { class: "means", points: middle.join(" ") }));
  return layer;
}

function describe(row) {
  return REPORT.columns.swept.map((name) => `${shortName(name)}: ${setting(row[name], name)}`).join("\n");
}

function startPlots(onPoint) {
  const rows = REPORT.rows.filter((row) => row.status === "done");
  const varies = (name) => new Set(rows.map((row) => row[name])).size > 1;
  const [swept, varied] = [REPORT.columns.swept.filter(varies), REPORT.columns.metrics.filter(varies)];
  if (!swept.length || !varied.length) {
    document.getElementById("plots").hidden = true;
    return;
  }
  const first = FIRST_PLOTS.filter((name) => varied.includes(name)).slice(0, 8);
  const ordered = [...first, ...varied.filter((name) => !first.includes(name))];
  const order = (name) => ["sampling.", "model.", "voices.", "prompts.", "seed"].findIndex((start) => name.startsWith(start));
  const fields = [...swept].sort((a, b) => order(a) - order(b));
  const choice = { x: fields[0], colour: "", all: !first.length };
  const [x, colour, all] = ["plot-x", "plot-colour", "plot-all"].map((id) => document.getElementById(id));
  x.append(...fields.map((name) => make("option", { value: name }, shortName(name))));
  if (varied.length === first.length) all.hidden = true;

  function draw() {
    const groups = fields.filter((name) => name !== choice.x);
    if (!groups.includes(choice.colour)) choice.colour = "";
    colour.replaceChildren(make("option", { value: "" }, "nothing"), ...groups.map((name) => make("option", { value: name }, shortName(name))));
    colour.value = choice.colour;
    colour.parentElement.hidden = !groups.length;
    all.textContent = choice.all ? "Fewer metrics" : `All ${varied.length} metrics`;
    all.setAttribute("aria-expanded", String(choice.all));
    const names = choice.all ? ordered : first;
    document.getElementById("plot-grid").replaceChildren(...names.map((name) => make("figure", {},
      make("figcaption", { title: REPORT.labels[name].help }, nameOf(name), make("span", { class: "unit" }, unitOf(name))),
      plot(rows, name, choice.x, choice.colour, onPoint))));
    const values = choice.colour ? valuesOf(rows, choice.colour) : [];
    document.getElementById("legend").replaceChildren(...values.map((value, index) =>
      make("span", { class: `key c${index % N_COLOURS}` }, setting(value, choice.colour))));
  }

  x.addEventListener("change", () => { choice.x = x.value; draw(); });
  colour.addEventListener("change", () => { choice.colour = colour.value; draw(); });
  all.addEventListener("click", () => { choice.all = !choice.all; draw(); });
  draw();
}
