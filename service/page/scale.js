// A p-value on a logarithmic scale, beside the rate at which items are flagged, as a picture.

import { svg } from "./dom.js";
import { round } from "./words.js";

const WIDTH = 320, HEIGHT = 46, EDGE = 12;

/**
 * Where p lies among the p-values that ordinary items get, which are spread evenly: between 0.1 and 1 lie 90 of 100.
 * Everything left of alpha is flagged.
 */
export function scale(p, alpha, n) {
  const least = Math.min(1 / (n + 1), alpha), decades = -Math.log10(least);
  const at = (value) => EDGE + (WIDTH - 2 * EDGE) * (1 + Math.log10(Math.max(value, least)) / decades);
  const ticks = Array.from({ length: Math.floor(decades) + 1 }, (_, power) => 10 ** -power);
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "scale", role: "img", "aria-label": `p-value ${round(p)}; flagged at ${round(alpha)} and below` },
    svg("rect", { x: EDGE, y: 12, width: Math.max(0, at(alpha) - EDGE), height: 8, class: "alarm" }),
    svg("rect", { x: at(alpha), y: 12, width: WIDTH - EDGE - at(alpha), height: 8, class: "rest" }),
    svg("line", { x1: at(alpha), x2: at(alpha), y1: 6, y2: 26, class: "limit" }),
    ticks.map((value) => svg("text", { x: at(value), y: 41, "text-anchor": "middle" }, round(value))),
    svg("path", { d: `M${at(p)} 18l-7 -14h14z`, class: p <= alpha ? "mark alarm" : "mark" }));
}
