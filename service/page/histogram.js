// The scores of held-out ordinary items as a histogram, with an item's place among them and the line of alarms.

import { svg } from "./dom.js";
import { share, whole } from "./words.js";

const WIDTH = 420, HEIGHT = 104, EDGE = 14, TOP = 16, FLOOR = 72;

/**
 * Where a p-value lies, in bins from the left: as far as leaves its share of the held-out items to the right. An item
 * beyond all of them lies half a bin outside.
 */
export function placeOf(p, counts) {
  const n = counts.reduce((sum, count) => sum + count, 0), above = p * (n + 1) - 1;
  if (above <= 0.001) return counts.length + 0.5;
  let passed = 0;
  for (let bin = counts.length - 1; bin >= 0; bin--) {
    if (passed + counts[bin] >= above) return bin + 1 - (above - passed) / counts[bin];
    passed += counts[bin];
  }
  return 0;
}

/** Of { edges, counts } of GET /models/{name}; the last bin holds the rest, however far it reaches. */
export function histogram(p, alpha, { counts }) {
  const n = counts.reduce((sum, count) => sum + count, 0), reachable = alpha >= 1 / (n + 1);
  const step = (WIDTH - 2 * EDGE) / (counts.length + 1), at = (place) => EDGE + step * place;
  const most = Math.max(...counts), limit = reachable ? at(placeOf(alpha, counts)) : WIDTH - EDGE;
  const high = (count) => (count ? 2 + (FLOOR - TOP - 2) * Math.sqrt(count / most) : 0); // the root shows the tail as well
  const bars = counts.map((count, bin) => `M${at(bin).toFixed(1)} ${FLOOR}v${-high(count).toFixed(1)}h${(step - 0.8).toFixed(1)}V${FLOOR}z`).join("");
  const place = at(placeOf(p, counts)), kind = p <= alpha && reachable ? "alarm" : "rest";
  const marks = [];
  let last = -99;
  for (const rate of [0.5, 0.1, 0.01, 0.001, 0.0001]) {
    const left = at(placeOf(rate, counts));
    if (rate < 1 / n || left < last + 62) continue;
    marks.push(svg("text", { x: Math.min(left, WIDTH - 30), y: FLOOR + 14, "text-anchor": "middle" }, rate === 0.5 ? "half" : `1 in ${whole(1 / rate)}`), svg("line", { x1: left, x2: left, y1: FLOOR, y2: FLOOR + 4, class: "grid" }));
    last = left;
  }
  const words = p * (n + 1) < 1.5 ? "beyond all of them" : `where ${share(p)} are at least as atypical`;
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "histogram", role: "img",
    "aria-label": `Histogram of how atypical ${whole(n)} held-out ordinary items are. This item lies ${words}.${reachable ? ` The line of alarms is at ${share(alpha)}.` : ""}` },
  svg("rect", { x: limit, y: TOP - 6, width: Math.max(0, WIDTH - EDGE - limit), height: FLOOR - TOP + 6, class: "beyond" }),
  svg("path", { d: bars, class: "bars" }),
  svg("line", { x1: EDGE, x2: WIDTH - EDGE, y1: FLOOR, y2: FLOOR, class: "grid" }),
  reachable ? svg("line", { x1: limit, x2: limit, y1: TOP - 6, y2: FLOOR, class: "limit" }) : [],
  svg("line", { x1: place, x2: place, y1: 8, y2: FLOOR, class: `needle ${kind}` }),
  svg("path", { d: `M${place} 14l-7 -13h14z`, class: `mark ${kind}` }),
  marks,
  svg("text", { x: EDGE, y: HEIGHT - 4 }, "typical"), svg("text", { x: WIDTH - EDGE, y: HEIGHT - 4, "text-anchor": "end" }, "atypical →"),
  svg("text", { x: WIDTH / 2, y: HEIGHT - 4, "text-anchor": "middle" }, `${whole(n)} held-out ordinary items`));
}
