// Pixels of an item, (H, W) or (H, W, C) 8-bit levels, to and from canvases and files.

import { h } from "./dom.js";

/** A canvas of the item's own size; CSS enlarges it. */
export function canvasOf(pixels, shape, properties) {
  const [height, width, channels = 1] = shape;
  const canvas = h("canvas", { width, height, class: "pixels", ...properties });
  paint(canvas, pixels, channels);
  return canvas;
}

export function paint(canvas, pixels, channels) {
  const { width, height } = canvas, context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let band = 0; band < 3; band++) image.data[4 * at + band] = pixels[at * channels + (channels === 1 ? 0 : band)];
    image.data[4 * at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Pixels of a canvas that has the item's size. */
export function pixelsOf(canvas, shape) {
  const channels = shape[2] ?? 1;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Uint8Array(canvas.width * canvas.height * channels);
  for (let at = 0; at < canvas.width * canvas.height; at++) {
    const [red, green, blue] = data.subarray(4 * at, 4 * at + 3);
    if (channels === 1) pixels[at] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    else pixels.set([red, green, blue].slice(0, channels), at * channels);
  }
  return pixels;
}

/** A picture file as the browser decodes it. */
export async function bitmapOf(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name || "what was pasted"} is no picture that this browser can read`);
  }
}

/** Pixels of a picture file, scaled to fill the item's shape. A picture that has the size already is not changed. */
export async function pixelsOfFile(file, shape) {
  const bitmap = await bitmapOf(file);
  return scaled(bitmap, bitmap.width, bitmap.height, shape);
}

export function scaled(source, width, height, shape) {
  const canvas = h("canvas", { width: shape[1], height: shape[0] }), context = canvas.getContext("2d");
  const scale = Math.max(shape[1] / width, shape[0] / height);
  context.imageSmoothingEnabled = scale !== 1;
  context.imageSmoothingQuality = "high";
  context.drawImage(source, (shape[1] - width * scale) / 2, (shape[0] - height * scale) / 2, width * scale, height * scale);
  return pixelsOf(canvas, shape);
}

export const invert = (pixels) => pixels.map((level) => 255 - level);

/** Whether most of a picture's border is bright, as of ink on paper; the models here learnt light strokes on black. */
export function isInkOnPaper(pixels, [height, width, channels = 1]) {
  if (channels !== 1) return false;
  let sum = 0, count = 0;
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++)
      if (row === 0 || column === 0 || row === height - 1 || column === width - 1) {
        sum += pixels[row * width + column];
        count++;
      }
  return sum / count > 127;
}

/** Pixels as nested lists, as the API's JSON has them. */
export function nested(pixels, shape) {
  if (shape.length === 1) return Array.from(pixels);
  const size = pixels.length / shape[0];
  return Array.from({ length: shape[0] }, (_, at) => nested(pixels.subarray(at * size, (at + 1) * size), shape.slice(1)));
}

export const pngOf = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/png"));

/** The shape of such lists. */
export const shapeOfNested = (found) => (Array.isArray(found) ? [found.length, ...shapeOfNested(found[0])] : []);
