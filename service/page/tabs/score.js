// Score: is this an item that the training data could have held?

import { fetchArray, postNpy, query } from "../api.js";
import { app } from "../app.js";
import { tableOf } from "../csv.js";
import { densityOf } from "../density.js";
import { pad } from "../drawing.js";
import { field, h, latest, number } from "../dom.js";
import { batch, readNpy, rowsOf } from "../npy.js";
import { canvasOf, invert, isInkOnPaper, pixelsOfFile } from "../pictures.js";
import { Plane } from "../plane.js";
import { foremost, reasons } from "../reasons.js";
import { scale } from "../scale.js";
import { verdictTable } from "../verdict_table.js";
import { rateSlider, summary, verdict } from "../verdicts.js";
import { DEFAULT_ALPHA, inWords, isImage, isPlane, round, shapeOf, share } from "../words.js";

export const title = "Score";

export function show(panel) {
  const { model, parameters } = app;
  if (!model) return void panel.append(h("p", {}, "No model is served yet."));
  const stop = new AbortController(), n = model.calibration?.reference ?? null;
  const head = h("p", { class: "summary", "aria-live": "polite" }), list = h("div", { class: "verdicts" }), table = h("div", {});
  let found = null, rows = null;

  const rate = rateSlider(() => {
    app.note({ alpha: rate.alpha() === DEFAULT_ALPHA ? null : rate.alpha() });
    draw();
  }, Number(parameters.alpha) || DEFAULT_ALPHA);

  const send = (items) => postNpy(`score${query({ model: model.name })}`, batch(items.map(({ data }) => data), model.item_shape), { signal: stop.signal });

  const score = latest(() => app.attempt(async () => {
    if (!app.items.length) {
      found = null;
      return draw();
    }
    app.say("Scoring …");
    const items = app.items.slice();
    found = { items, answer: await send(items) };
    app.say("");
    plane?.tell(found);
    return draw();
  }));

  function draw() {
    const alpha = rate.alpha(), scores = rows?.scores ?? found?.answer.items ?? [];
    head.replaceChildren(!scores.length ? "" : n === null ? "This model has no calibration, so it gives log-likelihoods and no verdicts."
      : summary(scores.map((one) => one.p_value), alpha, n));
    if (found && found.items.length > 1 && n !== null) head.append(h("br"), together(found.answer.group, alpha, n));
    const open = new Set([...list.querySelectorAll("details[open]")].map((one) => one.dataset.name));
    list.replaceChildren(...(found?.items ?? []).map((item, at) => card(item, found.answer.items[at], open)));
    rows?.view.draw(alpha);
  }

  function card(item, told, open) {
    const p = told.p_value, why = h("details", { open: open.has(item.name) }, h("summary", {}, "What drove the verdict"), p === null ? "" : reasons(told, model));
    why.dataset.name = item.name;
    const picture = isImage(model) ? canvasOf(item.data, model.item_shape, { role: "img", "aria-label": item.name }) : h("code", {}, Array.from(item.data, (value) => round(value, 4)).join(", "));
    const drop = h("button", { type: "button", class: "plain", "aria-label": `Remove ${item.name}`, onclick: () => {
      app.items = app.items.filter((one) => one !== item);
      score();
    } }, "✕");
    const repair = h("button", { type: "button", onclick: () => {
      app.hole = item.data;
      app.go("inpaint");
    } }, "Inpaint");
    return h("article", { class: "card verdict", "aria-label": item.name }, picture, h("div", { class: "grow-left" },
      h("div", { class: "row" }, p === null ? null : verdict(p, rate.alpha(), n), h("small", {}, item.name), repair, drop),
      p === null ? h("p", {}, told.reason ?? "No p-value.") : h("p", {}, inWords(p, n), told.p_value <= rate.alpha() ? ` Rarest answer: ${foremost(told).toLowerCase()}` : ""),
      p === null ? null : scale(p, rate.alpha(), n),
      h("small", {}, `p-value ${round(p)} · log-likelihood ${round(told.log_likelihood, 5)} nats${told.bits_per_dim === null ? "" : ` · ${round(told.bits_per_dim)} bits per dimension`}`)),
    p === null ? null : why);
  }

  const add = (items) => {
    rows = null;
    table.replaceChildren();
    app.items = [...items, ...app.items];
    return score();
  };

  const take = (files) => app.attempt(async () => {
    const items = [];
    for (const file of files) {
      if (/\.npy$/i.test(file.name)) items.push(...rowsFrom(readNpy(await file.arrayBuffer()), model, file.name));
      else if (/\.(csv|tsv|txt)$/i.test(file.name) || file.type === "text/csv") return scoreTable(await file.text());
      else if (!isImage(model)) throw new Error(`${model.name} takes numbers: a CSV or npy file`);
      else {
        const pixels = await pixelsOfFile(file, model.item_shape);
        const swap = isInkOnPaper(pixels, model.item_shape) && flip.checked;
        items.push({ data: swap ? invert(pixels) : pixels, name: `${file.name || "pasted"}${swap ? " (inverted)" : ""}` });
      }
    }
    return add(items);
  });

  async function scoreTable(text) {
    if (isImage(model)) throw new Error(`${model.name} takes pictures; a CSV file is for a model of a table`);
    const { names, rows: numbers } = tableOf(text, model.item_shape[0]);
    const scores = [];
    for (let at = 0; at < numbers.length; at += app.limits.max_items) {
      app.say(`Scoring ${at} of ${numbers.length} …`);
      scores.push(...(await send(numbers.slice(at, at + app.limits.max_items).map((data) => ({ data })))).items);
    }
    app.say("");
    app.items = [];
    found = null;
    rows = { scores, view: verdictTable({ names, rows: numbers, scores }, n) };
    table.replaceChildren(rows.view.element);
    draw();
  }

  // Where items come from.
  const file = h("input", { type: "file", multiple: "", accept: isImage(model) ? "image/*,.npy" : ".csv,.tsv,.txt,.npy", "aria-label": "Files to score", onchange: () => {
    take([...file.files]);
    file.value = "";
  } });
  const flip = h("input", { type: "checkbox", checked: true });
  const draws = h("button", { type: "button", onclick: () => app.go("sample") }, "Pick from samples");
  const clear = h("button", { type: "button", onclick: () => {
    app.items = [];
    rows = null;
    table.replaceChildren();
    score();
  } }, "Remove all");
  const source = h("div", { class: "card drop" }, h("div", { class: "row" }, file, draws, clear),
    h("p", { class: "hint" }, isImage(model) ? `Drop or paste pictures here. Each is scaled to ${shapeOf(model)}.` : `Drop a CSV file with ${model.item_shape[0]} columns of numbers, or an npy file.`),
    isImage(model) && !model.item_shape[2] ? h("label", { class: "field" }, flip, "Invert pictures of dark ink on bright paper") : null);
  const plane = isPlane(model) ? pointPlane(model, add, stop.signal) : null;
  panel.append(h("div", { class: "two" }, source, isImage(model) ? drawPad(model, add) : plane ? plane.element : numbers(model, add)),
    n === null ? "" : rate.element, head, table, list);

  const paste = (event) => {
    const files = [...(event.clipboardData?.files ?? [])], text = event.clipboardData?.getData("text") ?? "";
    if (files.length) take(files);
    else if (!isImage(model) && text.trim() && !/INPUT|TEXTAREA/.test(event.target.tagName)) app.attempt(() => scoreTable(text));
  };
  const over = (event) => event.preventDefault();
  const drop = (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  };
  const listeners = { paste, dragover: over, drop };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener);
  score();
  return () => {
    stop.abort();
    for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener);
  };
}

function together(group, alpha, n) {
  const few = group.p_value < 1e-4 ? "less than 1 in 10,000" : share(group.p_value);
  return `All ${group.count} together: ${few} groups of ordinary items ${group.p_value >= 0.1 ? "are" : "is"} as atypical, so as a whole they are ${group.p_value <= alpha ? "anomalous" : "ordinary"}.`;
}

function rowsFrom(array, model, name) {
  const { shape, data } = array, row = model.item_shape.join();
  if (shape.slice(1).join() !== row && shape.join() !== row) throw new Error(`${name} holds items of ${shape.slice(1).join(" × ")}, and ${model.name} takes ${shapeOf(model)}`);
  if (isImage(model) && !(data instanceof Uint8Array)) throw new Error(`${name} holds no 8-bit levels`);
  const kept = isImage(model) ? data : Float32Array.from(data), one = shape.join() === row;
  return rowsOf({ shape: one ? [1, ...shape] : shape, data: kept }).map((item, at) => ({ data: item, name: `${name}, item ${at + 1}` }));
}

let drawn = 0;

function drawPad(model, add) {
  const board = pad(model.item_shape), centre = h("input", { type: "checkbox", checked: model.item_shape.join() === "28,28" && /mnist/.test(model.name) && !/fashion/.test(model.name) });
  return h("div", { class: "card" }, h("h2", {}, "Draw"), board.element,
    h("label", { class: "field" }, centre, "Scale and centre it as MNIST's digits are"),
    h("div", { class: "row" }, h("button", { type: "button", class: "main", onclick: () => !board.empty() && add([{ data: board.pixels(centre.checked), name: `drawing ${++drawn}` }]) }, "Score the drawing"),
      h("button", { type: "button", onclick: board.clear }, "Clear")));
}

function numbers(model, add) {
  const fields = Array.from({ length: model.item_shape[0] }, (_, at) => number(0, { step: "any", "aria-label": `Column ${at + 1}` }));
  return h("div", { class: "card row" }, fields, h("button", { type: "button", class: "main", onclick: () => {
    const data = Float32Array.from(fields, (one) => Number(one.value));
    add([{ data, name: Array.from(data).join(", ") }]);
  } }, "Score the row"));
}

/** The density, with a point that is scored as one drags it. */
function pointPlane(model, add, signal) {
  const x = number(0, { step: "any" }), y = number(0, { step: "any" });
  const put = () => {
    const data = Float32Array.of(Number(x.value), Number(y.value));
    app.items = app.items.filter((item) => item.name !== "the point");
    add([{ data, name: "the point" }]);
  };
  const move = (left, up) => {
    x.value = left.toFixed(3);
    y.value = up.toFixed(3);
    put();
  };
  const plane = new Plane({ label: `The density of ${model.name}. Click or drag to score a point; the fields beside it take numbers.`, onPick: move, onDrag: move, onMove: latest((view) => app.attempt(async () => {
    const canvas = await densityOf(model, view, { signal });
    if (canvas) plane.underlay(canvas, view);
  })) });
  app.attempt(async () => {
    plane.fit(rowsOf(await fetchArray(`sample${query({ model: model.name, n: 256, seed: 0 })}`, null, { signal })));
  });
  return {
    element: h("div", {}, plane.element, h("div", { class: "controls" }, field("x", x), field("y", y), h("button", { type: "button", class: "main", onclick: put }, "Score the point"))),
    tell: ({ items, answer }) => {
      plane.marked = items.map(({ data }, at) => ({ point: data, colour: answer.items[at].anomalous ? "#d55e00" : "#009e73" })).reverse();
      plane.draw();
    },
  };
}
