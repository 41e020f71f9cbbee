// Masks of an image: 1 is to be filled in. The presets are the ten of NICE (Dinh et al. 2015, figure 6).

import { h } from "./dom.js";

const PRESETS = {
  top: (row, column, height) => row < height / 2,
  bottom: (row, column, height) => row >= height / 2,
  left: (row, column, height, width) => column < width / 2,
  right: (row, column, height, width) => column >= width / 2,
  "even pixels": (row, column, height, width) => (row * width + column) % 2 === 0,
  "odd pixels": (row, column, height, width) => (row * width + column) % 2 === 1,
  "middle rows": (row, column, height) => row >= height / 4 && row < (3 * height) / 4,
  "middle columns": (row, column, height, width) => column >= width / 4 && column < (3 * width) / 4,
  "random 75 %": () => Math.random() < 0.75,
  "random 90 %": () => Math.random() < 0.9,
};

export const presets = Object.keys(PRESETS);

/** A small picture of a preset. */
export function maskPicture(name, [height, width]) {
  const canvas = h("canvas", { width, height, class: "pixels" }), context = canvas.getContext("2d");
  context.fillStyle = "#e68200";
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++)
      if (PRESETS[name](row, column, height, width)) context.fillRect(column, row, 1, 1);
  return canvas;
}

const SCALE = 10, LARGEST = 1280; // canvas pixels for one of the picture; those of the longer side at most, or a little more

/** An editor over the picture on a canvas: { element, mask, apply, undo, clear, invert, brush }. */
export class MaskEditor {
  constructor(picture, [height, width]) {
    this.scale = Math.max(2, Math.min(SCALE, Math.floor(LARGEST / Math.max(height, width))));
    Object.assign(this, { height, width, brush: Math.max(3, Math.round(Math.max(height, width) / 16)), mask: new Uint8Array(height * width), past: [] });
    this.over = h("canvas", { width: width * this.scale, height: height * this.scale, class: "over", role: "img",
      "aria-label": "Paint what is to be filled in. The presets beside it need no pointer." });
    this.element = h("div", { class: "mask" }, picture, this.over);
    let last = null;
    this.over.addEventListener("pointerdown", (event) => {
      this.over.setPointerCapture(event.pointerId);
      this.#keep();
      last = this.#at(event);
      this.#stroke(last, last);
    });
    this.over.addEventListener("pointermove", (event) => {
      if (!last) return;
      const to = this.#at(event);
      this.#stroke(last, to);
      last = to;
    });
    for (const end of ["pointerup", "pointercancel"]) this.over.addEventListener(end, () => (last = null));
  }

  get empty() {
    return !this.mask.some(Boolean);
  }

  #at(event) {
    const box = this.over.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
  }

  #keep() {
    this.past.push(this.mask.slice());
    if (this.past.length > 100) this.past.shift();
  }

  #stroke([x0, y0], [x1, y1]) {
    const steps = Math.ceil(Math.hypot(x1 - x0, y1 - y0) * 2) + 1, radius = this.brush / 2;
    for (let step = 0; step <= steps; step++) {
      const x = x0 + ((x1 - x0) * step) / steps, y = y0 + ((y1 - y0) * step) / steps;
      for (let row = Math.max(0, Math.floor(y - radius)); row <= Math.min(this.height - 1, y + radius); row++)
        for (let column = Math.max(0, Math.floor(x - radius)); column <= Math.min(this.width - 1, x + radius); column++)
          if (Math.hypot(column + 0.5 - x, row + 0.5 - y) <= Math.max(radius, 0.71)) this.mask[row * this.width + column] = 1;
    }
    this.draw();
  }

  #change(f) {
    this.#keep();
    this.mask = Uint8Array.from(this.mask, (value, at) => f(value, Math.floor(at / this.width), at % this.width));
    this.draw();
  }

  preset(name) {
    this.#change((_, row, column) => PRESETS[name](row, column, this.height, this.width));
  }

  clear() {
    this.#change(() => 0);
  }

  invert() {
    this.#change((value) => 1 - value);
  }

  undo() {
    if (this.past.length) this.mask = this.past.pop();
    this.draw();
  }

  /** A canvas that shows the mask as it is now. */
  copy() {
    const canvas = h("canvas", { width: this.over.width, height: this.over.height, class: "over", "aria-hidden": "true" });
    canvas.getContext("2d").drawImage(this.over, 0, 0);
    return canvas;
  }

  /** Hidden pixels are orange with a stripe, so that colour is not all that tells. */
  draw() {
    const context = this.over.getContext("2d"), { scale } = this;
    context.clearRect(0, 0, this.over.width, this.over.height);
    context.lineWidth = 1.5;
    context.strokeStyle = "rgba(60,20,0,0.9)";
    this.mask.forEach((value, at) => {
      if (!value) return;
      const left = (at % this.width) * scale, top = Math.floor(at / this.width) * scale;
      context.fillStyle = "rgba(230,130,0,0.85)";
      context.fillRect(left, top, scale, scale);
      context.beginPath();
      context.moveTo(left, top + scale);
      context.lineTo(left + scale, top);
      context.stroke();
    });
  }
}
