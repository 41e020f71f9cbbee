// Small plots: lines over a common axis, and bars.

import { h, svg } from "./dom.js";
import { roundStep } from "./plane.js";
import { round } from "./words.js";

const WIDTH = 420, HEIGHT = 170, LEFT = 56, BOTTOM = 24, TOP = 10, RIGHT = 10;

/** A line through [x, y] points, with a caption; redrawn by draw(points, others), others being lines behind it. */
export function lineChart(caption, { xName = "", floor = null, words } = {}) {
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": caption });
  const now = h("output", { class: "now" });
  const finite = (points) => points.filter(([, y]) => Number.isFinite(y));
  function draw(points, others = []) {
    const kept = finite(points), behind = others.map(finite).filter((line) => line.length > 1), all = [...behind.flat(), ...kept];
    now.replaceChildren(kept.length ? (words ?? ((value) => round(value, 5)))(kept.at(-1)[1]) : "–");
    if (kept.length < 2) return picture.replaceChildren();
    const xs = all.map(([x]) => x), ys = all.map(([, y]) => y);
    const x0 = Math.min(...xs), x1 = Math.max(...xs), low = floor ?? quantile(ys, 0.05), y0 = Math.min(low, kept.at(-1)[1]);
    const most = Math.max(...ys), y1 = most > y0 ? most : y0 + 1;
    const at = (x, y) => [LEFT + ((WIDTH - LEFT - RIGHT) * (x - x0)) / (x1 - x0 || 1), TOP + (HEIGHT - TOP - BOTTOM) * (1 - (Math.max(y, y0) - y0) / (y1 - y0))];
    const path = (line) => line.map(([x, y], place) => `${place ? "L" : "M"}${at(x, y).map((value) => value.toFixed(1)).join(" ")}`).join("");
    const step = roundStep((y1 - y0) / 3), marks = [], places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const tick = words ?? ((value) => value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places }));
    for (let value = Math.ceil(y0 / step) * step; value <= y1; value += step) marks.push(value);
    const told = marks.filter((value, at) => at === 0 || tick(value) !== tick(marks[at - 1])); // whole numbers repeat
    return picture.replaceChildren(
      ...marks.map((value) => svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: at(x0, value)[1], y2: at(x0, value)[1], class: "grid" })),
      ...told.map((value) => svg("text", { x: LEFT - 6, y: at(x0, value)[1] + 4, "text-anchor": "end" }, tick(value))),
      ...behind.map((line) => svg("path", { d: path(line), class: "line other" })),
      svg("path", { d: path(kept), class: "line" }),
      svg("text", { x: LEFT, y: HEIGHT - 6 }, round(x0)), svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `${round(x1)} ${xName}`));
  }
  draw([]);
  return { element: h("figure", { class: "plot" }, h("figcaption", {}, caption, " ", now), picture), draw };
}

/** The first steps of a search may lie far below what is of interest. */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))];
}
