// Pictures for a model that scores any size: files are sent as they are, and the service prepares them as in training.

import { call } from "./api.js";
import { h } from "./dom.js";
import { readNpy, rowsOf } from "./npy.js";
import { bitmapOf, canvasOf, pngOf, scaled } from "./pictures.js";

const SHOWN = 800; // pixels of the longer side of a picture on the page

/** An item { data, name, bitmap } of a file, or of pixels of a shape, by default the model's own; data is a PNG or JPEG file. */
export async function pictureItem({ data, name, bitmap, shape }, model) {
  if (bitmap) return { data, name, bitmap };
  const file = data instanceof Blob ? data : await pngOf(canvasOf(data, shape ?? model.item_shape)), decoded = await bitmapOf(file);
  if (/^image\/(png|jpeg)$/.test(file.type)) return { data: file, name, bitmap: await shownAs(model, file, decoded) };
  const canvas = h("canvas", { width: decoded.width, height: decoded.height });
  canvas.getContext("2d").drawImage(decoded, 0, 0);
  return { data: await pngOf(canvas), name, bitmap: decoded };
}

/** What is shown of a file: of a deep one the bits that the model looks at, as far as the browser kept them. */
async function shownAs(model, file, bitmap) {
  if (model.any_size.bits === 16 || !(await isDeep(file))) return bitmap;
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), context = canvas.getContext("2d");
  context.filter = `brightness(${2 ** (16 - model.any_size.bits)})`;
  context.drawImage(bitmap, 0, 0);
  return createImageBitmap(canvas);
}

/** Whether a file is a PNG with 16 bits a value, of which a browser keeps the upper 8. */
async function isDeep(file) {
  const head = new Uint8Array(await file.slice(0, 25).arrayBuffer());
  return String.fromCharCode(...head.slice(1, 4)) === "PNG" && head[24] === 16;
}

/** Pixels and shape of a picture file, its longer side at most the one that the model works at. */
export async function fittedPixels(file, model) {
  if (await isDeep(file)) throw new Error(`${file.name} has 16 bits, of which a browser keeps 8: fill it in by sluice inpaint or the Python client`);
  const bitmap = await bitmapOf(file), scale = Math.min(1, model.any_size.longest / Math.max(bitmap.width, bitmap.height));
  const shape = [Math.round(bitmap.height * scale), Math.round(bitmap.width * scale), ...model.item_shape.slice(2)];
  return [scaled(bitmap, bitmap.width, bitmap.height, shape), shape];
}

/** The answer to pictures that are sent as files. */
export function sendPictures(path, items, options = {}) {
  const form = new FormData();
  items.forEach(({ data }, at) => form.append("files", data, `picture ${at + 1}`));
  return call("POST", path, { headers: { Accept: "application/json" }, ...options, body: form });
}

/** The maps of pictures, each { rarity, mapShape }. The service fills all up to the largest with NaN. */
export async function mapsOfPictures(path, items, options) {
  const array = readNpy(await (await sendPictures(path, items, { ...options, headers: { Accept: "application/x-npy" } })).arrayBuffer());
  const [, height, width] = array.shape;
  return rowsOf(array).map((whole) => {
    const rows = Array.from({ length: height }, (_, row) => whole.subarray(row * width, (row + 1) * width)).filter((row) => !Number.isNaN(row[0]));
    const used = rows[0].findIndex(Number.isNaN), wide = used < 0 ? width : used, rarity = new Float32Array(rows.length * wide);
    rows.forEach((row, at) => rarity.set(row.subarray(0, wide), at * wide));
    return { rarity, mapShape: [rows.length, wide] };
  });
}

/** A canvas that shows a decoded picture. */
export function canvasOfBitmap(bitmap, properties) {
  const scale = Math.min(1, SHOWN / Math.max(bitmap.width, bitmap.height));
  const canvas = h("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale), class: "photograph", ...properties });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}
