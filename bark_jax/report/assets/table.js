"use strict";
// The table of points: sorted, filtered, a page at a time, with players and details.

const PAGE = 100; // rows in the document at first, and added per click
const FIRST_COLUMNS = ["wer", "duration_s", "trailing_silence_s", "loudness_lufs",
  "f0_median_hz", "words_per_s", "semantic_finish"];
const TERM = /^([\w.]+)(<=|>=|!=|=|<|>)(.*)$/;

/** A row filter from typed text: words that must occur somewhere, and comparisons of columns. */
function makeFilter(text) {
  const tests = text.trim().split(/\s+/).filter(Boolean).map((term) => {
    const [, name, operator, wanted] = term.match(TERM) ?? [];
    const column = name && columnCalled(name);
    return column ? (row) => compare(valueIn(row, column), operator, wanted) : (row) => contains(row, term);
  });
  return (row) => tests.every((test) => test(row));
}

/** "temperature" finds sampling.semantic.temperature if no column is called just that. */
function columnCalled(name) {
  const columns = Object.keys(Object.assign({}, ...REPORT.rows));
  return columns.find((column) => column === name)
    ?? columns.find((column) => column.endsWith(`.${name}`));
}

/** Results as they are, settings that are not set as they are shown. */
function valueIn(row, name) {
  return row[name] ?? cellText(row, name);
}

function compare(value, operator, wanted) {
  const isNumber = typeof value === "number" && wanted !== "";
  const [a, b] = isNumber ? [value, Number(wanted)] : [String(value).toLowerCase(), wanted.toLowerCase()];
  switch (operator) {
    case "=": return a === b;
    case "!=": return a !== b;
    default: if (typeof a !== "number") return false;
  }
  return { "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b }[operator];
}

function contains(row, word) {
  return Object.keys(row).some((name) => cellText(row, name).toLowerCase().includes(word.toLowerCase()));
}

/** Sorts rows by a column; rows without a value come last in both directions. */
function byColumn(column, descending) {
  return (a, b) => {
    const [x, y] = [a[column] ?? null, b[column] ?? null];
    if (x === null || y === null) return (x === null) - (y === null);
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
    return descending ? -order : order;
  };
}

/** Spectrogram and player; all spectrograms have one time scale. */
function player(row, longest) {
  const cell = make("td", { class: "sound", "data-name": "audio" });
  if (row.status !== "done") return make("td", { class: "sound" }, make("span", { class: "failed" }, "failed"));
  if (!row.duration_s) return make("td", { class: "sound" }, make("span", { class: "failed" }, "no audio"));
  cell.append(
    make("img", {
      src: `spectrograms/${row.folder}.png`, alt: "Spectrogram", loading: "lazy",
      style: `width: ${Math.max(1, 100 * row.duration_s / longest)}%`,
    }),
    make("audio", { controls: "", preload: "none", src: `audio/${row.folder}.wav` }),
  );
  return cell;
}

function details(row, span) {
  const names = Object.keys(row).filter((name) => !["folder", "key", "status"].includes(name));
  const list = make("dl", {}, ...names.flatMap((name) => [make("dt", {}, name), make("dd", {}, cellText(row, name))]));
  return make("tr", { class: "details" }, make("td", { colspan: span },
    make("div", { class: "columns" },
      make("div", {}, make("h3", {}, `Values of ${row.folder}`), list),
      make("div", {}, make("h3", {}, "Composed config"), make("pre", {}, REPORT.configs[row.folder] || "none")))));
}

function startTable() {
  const { swept, metrics, words } = REPORT.columns;
  const results = [...metrics, ...words];
  const wanted = FIRST_COLUMNS.filter((name) => results.includes(name));
  const all = [...swept, ...wanted, ...results.filter((name) => !wanted.includes(name))];
  const fallback = metrics.slice(0, 6);
  const shown = new Set([...swept, ...(wanted.length ? wanted : fallback), ...(words.includes("error") ? ["error"] : [])]);
  const state = { column: "", descending: false, limit: PAGE, open: new Set(), marked: "" };
  const at = (id) => document.getElementById(id);
  const longest = Math.max(...REPORT.rows.map((row) => row.duration_s ?? 0));

  const chosen = () => all.filter((name) => shown.has(name));

  function visible() {
    const rows = REPORT.rows.filter(makeFilter(at("filter").value));
    return state.column ? rows.sort(byColumn(state.column, state.descending)) : rows;
  }

  function sortBy(column, descending) {
    Object.assign(state, { column, descending });
    draw();
  }

  function head(name) {
    const isSorted = state.column === name;
    const direction = !isSorted ? "none" : state.descending ? "descending" : "ascending";
    const unit = unitOf(name);
    const button = make("button", { type: "button", onclick: () => sortBy(name, isSorted && !state.descending) },
      nameOf(name), ...(unit ? [make("span", { class: "unit" }, unit)] : []));
    const help = REPORT.labels[name]?.help ?? name;
    return make("th", { scope: "col", "aria-sort": direction, "data-column": name, title: help }, button);
  }

  function line(row) {
    const cells = chosen().map((name) => {
      const kind = typeof row[name] === "number" ? "number" : "words";
      const label = `${nameOf(name)}${unitOf(name) ? ` [${unitOf(name)}]` : ""}`;
      return make("td", { class: kind, "data-name": label }, make("span", {}, cellText(row, name)));
    });
    const isOpen = state.open.has(row.folder);
    const toggle = make("button", { type: "button", class: "toggle", "aria-expanded": String(isOpen), onclick: () => {
      if (!state.open.delete(row.folder)) state.open.add(row.folder);
      draw();
    } }, "details");
    const mark = state.marked === row.folder ? "marked" : "";
    const whole = make("tr", { id: `row-${row.folder}`, class: `${row.status} ${mark}` },
      player(row, longest), ...cells, make("td", { class: "more" }, toggle));
    return isOpen ? [whole, details(row, cells.length + 2)] : [whole];
  }

  function draw() {
    const rows = visible();
    at("heads").replaceChildren(make("th", { scope: "col" }, "audio"), ...chosen().map(head), make("th", { "aria-label": "details" }));
    at("rows").replaceChildren(...rows.slice(0, state.limit).flatMap(line));
    at("count").textContent = rows.length === REPORT.rows.length ? `${rows.length} points` : `${rows.length} of ${REPORT.rows.length} points`;
    const left = rows.length - state.limit;
    at("more").hidden = left <= 0;
    at("more").textContent = `Show ${Math.min(left, PAGE)} more`;
    at("sort").value = state.column ? `${state.column} ${state.descending ? "down" : "up"}` : "";
  }

  function reveal(row) {
    at("filter").value = "";
    state.marked = row.folder;
    const place = visible().indexOf(row);
    state.limit = Math.max(state.limit, place + 1);
    draw();
    at(`row-${row.folder}`).scrollIntoView({ block: "center" });
  }

  at("sort").append(make("option", { value: "" }, "as made"), ...all.flatMap((name) => [
    make("option", { value: `${name} up` }, `${nameOf(name)} ↑`), make("option", { value: `${name} down` }, `${nameOf(name)} ↓`)]));
  at("sort").addEventListener("change", () => {
    const [column, direction] = at("sort").value.split(" ");
    sortBy(column, direction === "down");
  });
  at("choices").append(...all.map((name) => {
    const box = make("input", { type: "checkbox", onchange: () => {
      if (box.checked) shown.add(name); else shown.delete(name);
      draw();
    } });
    box.checked = shown.has(name);
    const unit = unitOf(name);
    return make("label", { title: name }, box, ` ${nameOf(name)}${unit ? ` [${unit}]` : ""}`);
  }));
  at("filter").addEventListener("input", () => { state.limit = PAGE; draw(); });
  at("more").addEventListener("click", () => { state.limit += PAGE; draw(); });
  draw();
  return { reveal };
}
