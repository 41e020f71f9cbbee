// Where a picture is strange: the map of POST /score over it, and boxes around its regions.

import { canvasOfBitmap } from "./any_size.js";
import { h, svg } from "./dom.js";
import { canvasOf } from "./pictures.js";
import { share } from "./words.js";

// Five points of matplotlib's "plasma", as in the maps that the service draws: even in brightness from dark to light.
const COLOURS = [[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]];
const LONG = 2.5; // how many times wider than high a picture is that gets the whole card, as it would be a strip beside words
const COMMON = 1, RARE = 5; // from 1 place in 10 to 1 in 100,000

/** Levels 0 to 255 (red, green, blue, opacity) of a place whose rarity is given. */
export function colourOf(rarity) {
  const part = Math.min(1, Math.max(0, (rarity - COMMON) / (RARE - COMMON))) * (COLOURS.length - 1);
  const low = Math.min(Math.floor(part), COLOURS.length - 2);
  return [...COLOURS[low].map((level, band) => Math.round(level + (part - low) * (COLOURS[low + 1][band] - level))),
    Math.round(255 * Math.sqrt(part / (COLOURS.length - 1)))];
}

/** The picture of an item { data, name, rarity } with its map and regions, as far as they are known. */
export function heatPicture(item, shape, regions, { opacity, boxes }) {
  const [height, width] = item.bitmap ? [item.bitmap.height, item.bitmap.width] : shape, label = { role: "img", "aria-label": item.name };
  const box = h("div", { class: !item.bitmap ? "heat" : width > LONG * height ? "heat large long" : "heat large" }, item.bitmap ? canvasOfBitmap(item.bitmap, label) : canvasOf(item.data, shape, label));
  if (item.rarity) {
    const [rows, columns] = item.mapShape ?? shape;
    const over = h("canvas", { width: columns, height: rows, class: "over", "aria-hidden": "true" }), context = over.getContext("2d");
    const image = context.createImageData(columns, rows);
    item.rarity.forEach((rarity, at) => image.data.set(colourOf(rarity), 4 * at));
    context.putImageData(image, 0, 0);
    over.style.opacity = opacity;
    box.append(over);
  }
  if (boxes && regions?.length) {
    box.append(svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "over", "aria-hidden": "true" },
      regions.flatMap(({ box: [top, left, bottom, right] }) => ["casing", "frame"].map((kind) =>
        svg("rect", { x: left, y: top, width: right - left, height: bottom - top, class: kind })))));
  }
  return box;
}

/** The regions in words. */
export function whereInWords(regions, alpha) {
  if (!regions.length) return `Where: no part of it is flagged. Of ordinary pictures ${share(alpha)} shows any.`;
  const places = regions.slice(0, 3).map(({ box: [top, left, bottom, right], area }) =>
    `${span("row", top, bottom)}, ${span("column", left, right)} (${area} ${area === 1 ? "pixel" : "pixels"})`);
  const more = regions.length > 3 ? `; and ${regions.length - 3} more` : "";
  return `Where: ${regions.length === 1 ? "one region" : `${regions.length} regions`}, the strangest first: ${places.join("; ")}${more}.`;
}

const span = (what, from, to) => (to === from + 1 ? `${what} ${from}` : `${what}s ${from} to ${to - 1}`);

/** What the colours mean. */
export const legend = () => h("div", { class: "legend" }, h("span", {}, "Places of ordinary pictures as strange:"),
  h("span", { class: "colours" }), h("span", { class: "ends" }, h("span", {}, "1 in 10"), h("span", {}, "1 in 1,000"), h("span", {}, "1 in 100,000")));
