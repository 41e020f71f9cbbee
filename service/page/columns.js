// Which column makes a row unlikely: found against expected.

import { h, svg } from "./dom.js";
import { cellText } from "./rows.js";
import { round } from "./words.js";

const WIDTH = 200, HEIGHT = 26, EDGE = 8, FIRST = 5, LEAST = 3;

/**
 * Bars of the contributions of POST /score to one row, the greatest gain first. A gain is how many nats likelier the row
 * would be if the column were drawn anew given the others.
 */
export function columnBars(contributions, row, model) {
  const known = contributions.map((one) => ({ ...one, column: model.schema?.columns.find(({ name }) => name === one.column), name: one.column }));
  const most = Math.max(LEAST, ...known.map(({ gain }) => gain));
  const lines = known.map((one) => line(one, row[one.name], most));
  const rest = lines.slice(FIRST);
  return h("div", { class: "columns" }, lines.slice(0, FIRST),
    rest.length ? h("details", {}, h("summary", {}, rest.length > 1 ? `${rest.length} more columns` : "1 more column"), rest) : null,
    h("small", {}, "Bar: how many nats likelier the row would be with this column drawn anew, given the others. ● found, ◇ expected, on the range of the training rows."));
}

function line({ name, column, gain, value, expected }, cell, most) {
  const told = expectedOf(column, expected);
  const bar = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: "gain", "aria-hidden": "true" },
    svg("rect", { x: 0, y: 0, width: Math.max(0, (100 * gain) / most), height: 10, class: gain >= LEAST ? "alarm" : "rest" }));
  return h("div", { class: "column" }, h("strong", {}, name), h("span", { class: "gain-box" }, bar, h("small", {}, `${gain > 0 ? "+" : ""}${round(gain, 2)} nats`)),
    column?.kind !== "category" && value !== null ? strip(column, value, expected) : h("span", { class: "strip" }),
    h("span", {}, `found ${cellText(cell)}, expected ${told}`));
}

/** The expected number as the column writes it. */
function expectedOf(column, expected) {
  if (column?.kind === "category") return column.categories[Math.min(Math.max(Math.round(expected), 0), column.categories.length - 1)];
  if (column?.kind === "time") return new Date(1000 * SECONDS[column.unit] * expected).toISOString().slice(0, column.unit === "day" ? 10 : 16).replace("T", " ");
  return column?.kind === "integer" ? expected.toFixed(Math.max(0, Math.ceil(-Math.log10(column.resolution) - 1e-9))) : round(expected, 4);
}

const SECONDS = { second: 1, minute: 60, hour: 3600, day: 86400 };

/** Both values on the range of the training rows, or beyond it. */
function strip(column, value, expected) {
  const { low, high } = column ?? { low: Math.min(value, expected), high: Math.max(value, expected) };
  const from = Math.min(low, value, expected), to = Math.max(high, value, expected, from + 1e-12);
  const at = (place) => EDGE + ((WIDTH - 2 * EDGE) * (place - from)) / (to - from), middle = HEIGHT / 2;
  const [x, y] = [at(value), at(expected)];
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "strip", "aria-hidden": "true" },
    svg("line", { x1: at(low), x2: at(high), y1: middle, y2: middle, class: "range" }),
    svg("line", { x1: x, x2: y, y1: middle, y2: middle, class: "apart" }),
    svg("path", { d: `M${y} ${middle - 7}l7 7l-7 7l-7 -7z`, class: "wanted" }), svg("circle", { cx: x, cy: middle, r: 5.5, class: "found" }));
}
