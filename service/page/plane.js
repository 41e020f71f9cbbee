// Points of a 2-D model over its density, on a canvas with zoom and pan.

import { h } from "./dom.js";

const SIZE = 560;

export class Plane {
  /** onPick(x, y) and onMove(view) tell of a click and of another view; onDrag(x, y) of a drag, which then does not pan. */
  constructor({ label, onPick, onMove, onDrag }) {
    Object.assign(this, { onPick, onMove, onDrag });
    this.view = { x: 0, y: 0, half: 3 };
    this.points = [];
    this.marked = [];
    this.layer = null;
    this.canvas = h("canvas", { width: SIZE, height: SIZE, class: "plane", tabindex: 0, role: "img", "aria-label": label });
    const zoom = (text, name, factor) => h("button", { type: "button", "aria-label": name, title: name, onclick: () => this.zoom(factor) }, text);
    this.element = h("div", { class: "plane-box" }, this.canvas,
      h("div", { class: "zoom" }, zoom("+", "Zoom in", 0.7), zoom("−", "Zoom out", 1 / 0.7)));
    this.#listen();
  }

  /** Show the square that holds the points. */
  fit(points) {
    if (!points.length) return;
    const low = [0, 1].map((axis) => Math.min(...points.map((point) => point[axis])));
    const high = [0, 1].map((axis) => Math.max(...points.map((point) => point[axis])));
    this.view = {
      x: (low[0] + high[0]) / 2, y: (low[1] + high[1]) / 2,
      half: 0.6 * Math.max(high[0] - low[0], high[1] - low[1], 1e-6),
    };
    this.#moved();
  }

  zoom(factor, [x, y] = [this.view.x, this.view.y]) {
    const { view } = this;
    this.view = { x: x + (view.x - x) * factor, y: y + (view.y - y) * factor, half: view.half * factor };
    this.#moved();
  }

  pan(right, up) {
    this.view.x += right * this.view.half;
    this.view.y += up * this.view.half;
    this.#moved();
  }

  #moved() {
    this.draw();
    this.onMove?.(this.view);
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect(), { x, y, half } = this.view;
    return [x + half * (2 * (event.clientX - box.left) / box.width - 1), y - half * (2 * (event.clientY - box.top) / box.height - 1)];
  }

  #listen() {
    const { canvas } = this, held = new Map();
    let moved = 0;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY / 400), this.#place(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, event);
      moved = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = held.get(event.pointerId);
      if (!before) return;
      const [x0, y0] = this.#place(before), [x1, y1] = this.#place(event);
      moved += Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
      if (held.size === 2) {
        const other = [...held.values()].find((one) => one.pointerId !== event.pointerId);
        const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) + 1;
        this.zoom(apart(before) / apart(event), this.#place(other));
      } else if (this.onDrag) this.onDrag(x1, y1);
      else if (moved > 4) {
        this.view.x += x0 - x1;
        this.view.y += y0 - y1;
        this.#moved();
      }
      held.set(event.pointerId, event);
    });
    const release = (event) => held.delete(event.pointerId);
    canvas.addEventListener("pointerup", (event) => {
      if (held.size === 1 && moved <= 4) this.onPick?.(...this.#place(event));
      release(event);
    });
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (step) this.pan(...step);
      else if (event.key === "+" || event.key === "=") this.zoom(0.8);
      else if (event.key === "-") this.zoom(1.25);
      else if (event.key === "Enter") this.onPick?.(this.view.x, this.view.y);
      else return;
      event.preventDefault();
    });
  }

  /** The density: a canvas over the square view { x, y, half }. */
  underlay(canvas, view) {
    this.layer = { canvas, view: { ...view } };
    this.draw();
  }

  draw() {
    const { canvas, view } = this, context = canvas.getContext("2d");
    const at = ([x, y]) => [SIZE * ((x - view.x) / view.half + 1) / 2, SIZE * (1 - (y - view.y) / view.half) / 2];
    context.fillStyle = "#00224e";
    context.fillRect(0, 0, SIZE, SIZE);
    if (this.layer) {
      const { x, y, half } = this.layer.view, [left, top] = at([x - half, y + half]), size = SIZE * half / view.half;
      context.imageSmoothingEnabled = true;
      context.drawImage(this.layer.canvas, left, top, size, size);
    }
    const dot = (point, radius, fill, line) => {
      context.beginPath();
      context.arc(...at(point), radius, 0, 2 * Math.PI);
      context.fillStyle = fill;
      context.fill();
      if (!line) return;
      context.lineWidth = 2;
      context.strokeStyle = line;
      context.stroke();
    };
    for (const point of this.points) dot(point, 2.2, "rgba(255,255,255,0.8)");
    for (const { point, colour } of this.marked) dot(point, 6, colour ?? "#d55e00", "#ffffff");
    axes(context, view, at);
  }
}

/** Ticks at round numbers, so that a view says where it is. */
function axes(context, view, at) {
  const step = roundStep(view.half / 2);
  context.fillStyle = "#ffffff";
  context.font = "13px system-ui, sans-serif";
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  for (let value = Math.ceil((view.x - view.half) / step) * step; value < view.x + view.half; value += step) {
    const [left] = at([value, view.y]);
    context.fillRect(left, SIZE - 5, 1, 5);
    if (left < SIZE - 30 && left > 30) context.fillText(value.toFixed(digits), left - 8, SIZE - 9);
  }
  for (let value = Math.ceil((view.y - view.half) / step) * step; value < view.y + view.half; value += step) {
    const [, top] = at([view.x, value]);
    context.fillRect(0, top, 5, 1);
    if (top > 14 && top < SIZE - 26) context.fillText(value.toFixed(digits), 8, top + 4);
  }
}

export function roundStep(about) {
  const power = 10 ** Math.floor(Math.log10(about)), part = about / power;
  return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}
