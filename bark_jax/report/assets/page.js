"use strict";
// The top of the page, and what plots and table share.

/** Text for a result: short numbers. */
function show(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  const digits = Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toFixed(digits);
}

/** Text for a setting: all digits, and a word for what is not set. */
function setting(value, name) {
  if (value !== null && value !== undefined) return String(value);
  return name.startsWith("sampling.") ? "off" : name.startsWith("voices.") ? "none" : "default";
}

/** Text for any column. */
function cellText(row, name) {
  if (name === "seed" || name.includes(".")) return setting(row[name], name);
  return REPORT.labels[name]?.words[row[name]] ?? show(row[name]);
}

/** An element with text or children; attributes starting with "on" are listeners. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** The name of a setting without what its context makes clear. */
function shortName(name) {
  return { "prompts.text": "text", "voices.name": "voice" }[name]
    ?? name.replace(/^sampling\./, "").replace(/^model\./, "model ").replace(".", " ");
}

/** The name of any column. */
function nameOf(column) {
  return REPORT.labels[column]?.label ?? shortName(column);
}

function unitOf(column) {
  return REPORT.labels[column]?.unit ?? "";
}

function fillHead() {
  const done = REPORT.rows.filter((row) => row.status === "done");
  const seconds = done.reduce((sum, row) => sum + row.duration_s, 0);
  const failed = REPORT.rows.length - done.length;
  const made = REPORT.provenance[0];
  document.title = `Sweep ${REPORT.title}`;
  document.getElementById("title").textContent = REPORT.title;
  document.getElementById("summary").textContent = [
    `${REPORT.rows.length} points`,
    ...(failed ? [`${failed} failed`] : []),
    `${show(seconds)} s of audio`,
    ...(made ? [`bark_jax ${made.bark_jax}${made.commit ? ` (${made.commit.slice(0, 7)})` : ""}`, made.device] : []),
    REPORT.made.replace("T", " "),
  ].join(" · ");
  const text = document.getElementById("text"); // where it differs, it is a column
  text.textContent = REPORT.columns.constant["prompts.text"] ?? "";
  text.hidden = !text.textContent;
  const list = document.getElementById("constants");
  const constants = { ...REPORT.columns.constant };
  for (const [index, versions] of REPORT.provenance.entries()) {
    const text = Object.entries(versions).map(([name, value]) => `${name} ${show(value)}`).join(", ");
    constants[REPORT.provenance.length > 1 ? `made with (${index + 1})` : "made with"] = text;
  }
  for (const [name, value] of Object.entries(constants)) {
    list.append(make("dt", {}, name), make("dd", {}, setting(value, name)));
  }
}

fillHead();
const table = startTable();
startPlots((row) => table.reveal(row));
