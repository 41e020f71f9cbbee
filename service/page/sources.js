// Where items to score come from: files, the clipboard, the camera, samples, a drawing, a form, a point of the plane.

import { pictureItem } from "./any_size.js";
import { fetchArray, postJson, query } from "./api.js";
import { app } from "./app.js";
import { densityOf } from "./density.js";
import { inkOf, pad } from "./drawing.js";
import { field, fileButton, h, latest, number } from "./dom.js";
import { readNpy, rowsOf } from "./npy.js";
import { bitmapOf, invert, isInkOnPaper, scaled } from "./pictures.js";
import { Plane } from "./plane.js";
import { isTable, rowForm, takesMissing } from "./rows.js";
import { verdict } from "./verdicts.js";
import { isImage, isPlane, round, shapeOf, someSeed } from "./words.js";

const TABLE = /\.(csv|tsv|txt)$/i;

/** { element, leave(), tell(found) }; add(items) and addTable(text, name) take what comes. */
export function itemSources({ model, add, addTable, clear, signal }) {
  const flip = h("input", { type: "checkbox", checked: true });
  const take = (files) => app.attempt(async () => {
    const items = [], unusable = [];
    for (const file of files) {
      if (/\.npy$/i.test(file.name)) items.push(...itemsOfNpy(readNpy(await file.arrayBuffer()), model, file.name));
      else if (TABLE.test(file.name) || file.type === "text/csv") return addTable(await file.text(), file.name);
      else if (!isImage(model)) throw new Error(`${model.name} takes ${isTable(model) ? "rows: a CSV" : "numbers: a CSV or npy"} file`);
      else {
        if (model.any_size) {
          try {
            items.push(await pictureItem({ data: file, name: file.name || "pasted" }, model));
          } catch (error) {
            unusable.push(error.message);
          }
          continue;
        }
        const bitmap = await bitmapOf(file), shape = model.item_shape, pixels = scaled(bitmap, bitmap.width, bitmap.height, shape);
        const swap = isInkOnPaper(pixels, shape) && flip.checked, photograph = swap && isDigits(model) && Math.min(bitmap.width, bitmap.height) > 2 * shape[0];
        const changed = photograph ? " (ink on black, centred)" : swap ? " (inverted)" : "";
        items.push({ data: photograph ? inkOf(bitmap, shape) : swap ? invert(pixels) : pixels, name: `${file.name || "pasted"}${changed}` });
      }
    }
    if (items.length) await add(items);
    if (unusable.length) throw new Error([document.getElementById("problem").textContent, ...unusable].filter(Boolean).join(" "));
  });
  const file = fileButton("Choose files", take, { multiple: "", accept: isImage(model) ? "image/*,.npy" : isTable(model) ? ".csv,.tsv,.txt" : ".csv,.tsv,.txt,.npy" });
  const camera = isImage(model) && matchMedia("(pointer: coarse)").matches ? fileButton("Photograph", take, { accept: "image/*", capture: "environment" }) : null;
  const aligned = model.any_size?.aligned_size;
  const hint = aligned ? `Drop or paste pictures of parts here, that lie as those it was trained on: ${aligned.join(" × ")} pixels (height × width), or larger ones of this form, which the service scales down.`
    : model.any_size ? `Drop or paste pictures here, of any size. Where the longer side has more than ${model.any_size.longest} pixels, the service scales them down as in training.`
    : isImage(model) ? `Drop or paste pictures here. Each is scaled to ${shapeOf(model)}.`
    : isTable(model) ? "Drop a CSV file here, or paste rows with a line of names. Columns are found by name."
    : `Drop a CSV file with ${model.item_shape[0]} columns of numbers here, or an npy file.`;
  const source = h("div", { class: "card drop" }, h("h2", {}, isImage(model) ? "Pictures" : "A file"), h("div", { class: "row" }, file, camera), h("p", { class: "hint" }, hint),
    isImage(model) && !model.item_shape[2] && !model.any_size ? h("label", { class: "field" }, flip, h("span", {}, "Make dark ink on bright paper white on black")) : null,
    h("div", { class: "row" }, h("button", { type: "button", onclick: () => app.go("sample") }, "Pick from samples"), h("button", { type: "button", onclick: clear }, "Remove all")));
  const plane = isPlane(model) && !isTable(model) ? pointPlane(model, add, signal) : null;
  const other = model.any_size ? null : isImage(model) ? drawPad(model, add) : plane ? plane.element : isTable(model) ? rowCard(model, add) : numbers(model, add);

  const paste = (event) => {
    const files = [...(event.clipboardData?.files ?? [])], text = event.clipboardData?.getData("text") ?? "";
    if (files.length) take(files);
    else if (!isImage(model) && text.trim() && !/INPUT|TEXTAREA/.test(event.target.tagName)) app.attempt(() => addTable(text, "pasted rows"));
  };
  const over = (event) => {
    event.preventDefault();
    source.classList.toggle("over", event.type === "dragover");
  };
  const drop = (event) => {
    over(event);
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  };
  const listeners = { paste, dragover: over, dragleave: over, drop };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener);
  return {
    element: h("div", { class: "two" }, model.any_size ? source : isImage(model) || plane ? [other, source] : [source, other]),
    tell: plane?.tell,
    leave: () => {
      for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener);
    },
  };
}

function itemsOfNpy(array, model, name) {
  if (isTable(model)) throw new Error(`${name}: rows of ${model.name} come by name, as CSV`);
  if (model.any_size) return picturesOfNpy(array, model, name);
  const { shape, data } = array, row = model.item_shape.join();
  if (shape.slice(1).join() !== row && shape.join() !== row) throw new Error(`${name} holds items of ${shape.slice(1).join(" × ")}, and ${model.name} takes ${shapeOf(model)}`);
  if (isImage(model) && !(data instanceof Uint8Array)) throw new Error(`${name} holds no 8-bit levels`);
  const kept = isImage(model) ? data : Float32Array.from(data), one = shape.join() === row;
  return rowsOf({ shape: one ? [1, ...shape] : shape, data: kept }).map((item, at) => ({ data: item, name: `${name}, item ${at + 1}` }));
}

/** One picture (H, W[, 3]) or several of one size, as items { data, shape, name }. */
function picturesOfNpy({ shape, data }, model, name) {
  const colours = model.item_shape.slice(2), axes = 2 + colours.length, own = shape.slice(-axes);
  if (shape.length < axes || shape.length > axes + 1 || own.slice(2).join() !== colours.join()) throw new Error(`${name} holds an array of ${shape.join(" × ")}, and pictures of ${model.name} are ${["height", "width", ...colours].join(" × ")}`);
  if (!(data instanceof Uint8Array)) throw new Error(`${name} holds no 8-bit levels`);
  return rowsOf({ shape: [shape.length > axes ? shape[0] : 1, ...own], data }).map((item, at) => ({ data: item, shape: own, name: `${name}, item ${at + 1}` }));
}

/** Whether items were prepared as MNIST's digits were: scaled, and centred. */
const isDigits = (model) => model.item_shape.join() === "28,28" && /mnist/.test(model.name) && !/fashion/.test(model.name);

let drawn = 0;

function drawPad(model, add) {
  const board = pad(model.item_shape), digits = isDigits(model);
  const centre = h("input", { type: "checkbox", checked: digits });
  return h("div", { class: "card" }, h("h2", {}, digits ? "Draw a digit, or anything else" : "Draw"), board.element,
    h("div", { class: "row" }, h("button", { type: "button", class: "main", onclick: () => {
      if (board.empty()) return app.tell(new Error("draw something in the black square first"));
      return add([{ data: board.pixels(centre.checked), name: `drawing ${++drawn}` }]);
    } }, "Score the drawing"), h("button", { type: "button", onclick: board.clear }, "Clear")),
    digits ? h("label", { class: "field" }, centre, h("span", {}, "Scale and centre it as MNIST's digits are")) : null);
}

function numbers(model, add) {
  const fields = Array.from({ length: model.item_shape[0] }, (_, at) => number(0, { step: "any", "aria-label": `Column ${at + 1}` }));
  return h("div", { class: "card row" }, fields, h("button", { type: "button", class: "main", onclick: () => {
    const data = Float32Array.from(fields, (one) => Number(one.value));
    add([{ data, name: Array.from(data).join(", ") }]);
  } }, "Score the row"));
}

/** One row by name. */
function rowCard(model, add) {
  const form = rowForm(model);
  let made = 0;
  const score = () => app.attempt(() => {
    const row = form.row(), empty = Object.keys(row).find((name) => row[name] === null);
    if (Object.values(row).every((value) => value === null)) throw new Error("fill in the row first");
    if (empty !== undefined && !takesMissing(model)) throw new Error(`fill in ${empty}: ${model.name} takes no missing values`);
    return add([{ data: row, name: `row ${++made}` }]);
  });
  return h("div", { class: "card" }, h("h2", {}, "One row"), form.element, takesMissing(model) ? h("p", { class: "hint" }, "A field that is left empty counts as missing.") : null,
    h("div", { class: "row" }, h("button", { type: "button", class: "main", onclick: score }, "Score the row"),
    h("button", { type: "button", onclick: () => app.attempt(async () => form.set((await postJson(`sample${query({ model: model.name, n: 1, seed: someSeed() })}`)).items[0])) }, "Take a sample")));
}

/** The density, with a point that is scored as one drags it. */
function pointPlane(model, add, signal) {
  const said = h("output", {}), x = number(0, { step: "any" }), y = number(0, { step: "any" });
  const put = () => {
    const data = Float32Array.of(Number(x.value), Number(y.value));
    app.items = app.items.filter((item) => item.name !== "the point");
    add([{ data, name: "the point" }], true);
  };
  const move = (left, up) => {
    x.value = left.toFixed(3);
    y.value = up.toFixed(3);
    put();
  };
  const plane = new Plane({ label: `The density of ${model.name}. Click or drag to score a point; the fields below it take numbers.`, onPick: move, onDrag: move, onMove: latest((view) => app.attempt(async () => {
    const canvas = await densityOf(model, view, { signal });
    if (canvas) plane.underlay(canvas, view);
  })) });
  app.attempt(async () => {
    plane.fit(rowsOf(await fetchArray(`sample${query({ model: model.name, n: 256, seed: 0 })}`, null, { signal })));
  });
  return {
    element: h("div", { class: "card" }, h("h2", {}, "Drag a point over the density"), plane.element,
      h("div", { class: "controls" }, field("x", x), field("y", y), h("button", { type: "button", class: "main", onclick: put }, "Score the point"), said)),
    tell: ({ items, answer }, alpha) => {
      const p = answer.items[0].p_value, n = model.calibration?.reference;
      said.replaceChildren(...(p === null || items[0].name !== "the point" ? [] : [verdict(p, alpha, n), ` p-value ${round(p)}`]));
      plane.marked = items.map(({ data }, at) => ({ point: data, colour: answer.items[at].p_value <= alpha ? "#d55e00" : "#009e73" })).reverse();
      plane.draw();
    },
  };
}
