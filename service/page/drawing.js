// A pad to draw an image on, with finger, pen or mouse.

import { h } from "./dom.js";

const SIZE = 280;
const PAPER = 0.75; // of the median brightness: what is brighter is paper, or a shadow on it

/** { element, pixels(), clear(), empty() }. */
export function pad(shape) {
  const height = SIZE, width = Math.round((SIZE * shape[1]) / shape[0]);
  const canvas = h("canvas", { width, height, class: "pad", "aria-label": "Draw here with finger, pen or mouse", role: "img" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let last = null, empty = true;
  const clear = () => {
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    empty = true;
  };
  clear();
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    line(last);
  });
  canvas.addEventListener("pointermove", (event) => last && line(at(event)));
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
  function line(to) {
    Object.assign(context, { strokeStyle: "#fff", lineWidth: SIZE / 10, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...to);
    context.stroke();
    last = to;
    empty = false;
  }
  return {
    element: canvas,
    clear,
    empty: () => empty,
    pixels: (centre) => (centre ? centred(canvas, context, shape) : averaged(context, shape)),
  };
}

/** Pixels of a photograph of dark ink on bright paper, as if it had been drawn on the pad: white on black, and centred. */
export function inkOf(bitmap, shape) {
  const canvas = h("canvas", { width: SIZE, height: SIZE }), context = canvas.getContext("2d", { willReadFrequently: true });
  const scale = SIZE / Math.min(bitmap.width, bitmap.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (SIZE - bitmap.width * scale) / 2, (SIZE - bitmap.height * scale) / 2, bitmap.width * scale, bitmap.height * scale);
  const image = context.getImageData(0, 0, SIZE, SIZE), { data } = image;
  const grey = Float32Array.from({ length: SIZE * SIZE }, (_, at) => 0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2]);
  const sorted = Float32Array.from(grey).sort(), paper = PAPER * sorted[SIZE * SIZE >> 1], ink = sorted[Math.round(0.005 * SIZE * SIZE)];
  grey.forEach((level, at) => data.fill(255 * Math.min(1, Math.max(0, (paper - level) / Math.max(1, 0.8 * (paper - ink)))), 4 * at, 4 * at + 3));
  context.putImageData(image, 0, 0);
  return centred(canvas, context, shape);
}

/**
 * As MNIST prepared its digits: the drawing scaled into 20 of 28 pixels, its centre of mass in the middle
 * (LeCun et al. 1998).
 */
function centred(canvas, context, shape) {
  const { width, height } = canvas, { data } = context.getImageData(0, 0, width, height);
  let left = width, right = 0, top = height, bottom = 0, mass = 0, x = 0, y = 0;
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) {
      const level = data[4 * (row * width + column)];
      if (!level) continue;
      left = Math.min(left, column);
      right = Math.max(right, column + 1);
      top = Math.min(top, row);
      bottom = Math.max(bottom, row + 1);
      mass += level;
      x += level * column;
      y += level * row;
    }
  if (!mass) return averaged(context, shape);
  const scale = (20 / 28) * Math.min(width / (right - left), height / (bottom - top));
  const moved = h("canvas", { width, height }), to = moved.getContext("2d");
  to.fillStyle = "#000";
  to.fillRect(0, 0, width, height);
  to.imageSmoothingQuality = "high";
  to.drawImage(canvas, width / 2 - (scale * x) / mass, height / 2 - (scale * y) / mass, width * scale, height * scale);
  return averaged(to, shape);
}

/**
 * Each pixel the mean of its part of the drawing. A browser's own scaling leaves jagged edges, and a softer one blurs:
 * with either, `mnist` finds drawn digits anomalous.
 */
function averaged(context, shape) {
  const [rows, columns, channels = 1] = shape, { width, height } = context.canvas;
  const { data } = context.getImageData(0, 0, width, height), pixels = new Uint8Array(rows * columns * channels);
  const [high, wide] = [height / rows, width / columns];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let sum = 0, count = 0;
      for (let y = Math.floor(row * high); y < (row + 1) * high && y < height; y++)
        for (let x = Math.floor(column * wide); x < (column + 1) * wide && x < width; x++) {
          sum += data[4 * (y * width + x)];
          count++;
        }
      const at = (row * columns + column) * channels;
      pixels.fill(Math.round(sum / count), at, at + channels);
    }
  return pixels;
}
