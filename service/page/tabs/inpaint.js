// Inpaint: fill in what a mask hides, and watch how.

import { call, fetchArray, follow, query } from "../api.js";
import { app } from "../app.js";
import { lineChart } from "../chart.js";
import { densityOf } from "../density.js";
import { choice, download, field, h, latest, number } from "../dom.js";
import { MaskEditor, presets } from "../masks.js";
import { rowsOf } from "../npy.js";
import { canvasOf, invert, isInkOnPaper, nested, paint, pixelsOfFile, pngOf } from "../pictures.js";
import { Plane } from "../plane.js";
import { isImage, isPlane, round, someSeed } from "../words.js";

export const title = "Inpaint";

const METHODS = [["ascent", "ascent: likely, near the mean"], ["langevin", "langevin: varied draws"],
  ["map", "map: the likeliest"], ["latent", "latent: in the latent space"], ["nice", "nice: the paper's raw step"]];

export function show(panel) {
  const { model, parameters } = app;
  if (!model) return void panel.append(h("p", {}, "No model is served yet."));
  const leaving = new AbortController(), settings = controls(parameters);
  const source = isImage(model) ? imageSource(model, leaving.signal) : rowSource(model);
  const run = h("button", { type: "button", class: "main" }, "Fill in"), halt = h("button", { type: "button", disabled: true }, "Stop");
  const live = h("div", { class: "live" }), results = h("div", { class: "completions", "aria-live": "polite" });
  const chart = lineChart("Log-likelihood, nats", { xName: "steps" });
  let task = null;

  /** Follow the inpainting of an id to its end; it goes on when one leaves the tab. */
  async function watch(id) {
    task = id;
    run.disabled = true;
    halt.disabled = false;
    results.replaceChildren();
    const points = [], preview = h("img", { class: "pixels preview", alt: "The completions so far" });
    live.replaceChildren(...(isImage(model) ? [h("figure", { class: "plot" }, h("figcaption", {}, "So far"), preview)] : []), chart.element);
    chart.draw([]);
    await app.attempt(() => follow(`inpaint/${id}`, (event, document) => {
      if (event === "problem") throw Object.assign(new Error(document.detail), { field: document.field });
      if (event === "progress") {
        if (document.preview) preview.src = document.preview;
        points.push([document.step, document.log_likelihood]);
        chart.draw(points);
        app.say(`Step ${document.step}`);
      } else if (event === "result") {
        chart.draw(document.items[0].trace);
        live.querySelector("figure:has(img)")?.remove();
        results.replaceChildren(...completions(document, model));
        app.say(document.state === "stopped" ? "Stopped: these are the best so far." : "Done.");
      }
    }, { signal: leaving.signal }));
    task = null;
    run.disabled = false;
    halt.disabled = true;
  }

  run.addEventListener("click", () => app.attempt(async () => {
    const body = source.body(), asked = settings.values(), id = `page-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`;
    app.say("Waiting for the first step …");
    await call("PUT", `inpaint/${id}${query({ model: model.name, ...asked })}`, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    app.note({ ...asked, task: id });
    await watch(id);
  }));
  halt.addEventListener("click", () => app.attempt(() => task && call("DELETE", `inpaint/${task}`)));
  panel.append(h("div", { class: "two" }, source.element, h("div", {}, settings.element, h("div", { class: "row" }, run, halt), live)), results);
  if (parameters.task) watch(parameters.task);
  return () => leaving.abort();
}

function controls(parameters) {
  const method = choice(METHODS, parameters.method ?? "ascent", { name: "method" });
  const steps = number(parameters.steps ?? 100, { min: 1, max: 2000, name: "steps" });
  const n = number(parameters.n ?? 4, { min: 1, max: 16, name: "n" });
  const seed = number(parameters.seed ?? someSeed(), { min: 0, step: 1, name: "seed" });
  return {
    element: h("div", { class: "controls" }, field("Method", method), field("Completions", n), field("Steps", steps), field("Seed", seed)),
    values: () => ({ method: method.value, steps: steps.value, n: n.value, seed: seed.value }),
  };
}

/** An image and its mask: { element, body() }. */
function imageSource(model, signal) {
  const shape = model.item_shape, channels = shape[2] ?? 1;
  let pixels = app.hole ?? new Uint8Array(shape.reduce((a, b) => a * b, 1));
  const picture = canvasOf(pixels, shape), editor = new MaskEditor(picture, shape);
  const use = (data) => {
    pixels = app.hole = data;
    paint(picture, data, channels);
  };
  const act = (text, action) => h("button", { type: "button", onclick: action }, text);
  const fresh = async () => use(rowsOf(await fetchArray(`sample${query({ model: model.name, n: 1, seed: someSeed(), temperature: 0.8 })}`, null, { signal }))[0]);
  const file = h("input", { type: "file", accept: "image/*", "aria-label": "A picture to repair", onchange: () => app.attempt(async () => {
    const data = await pixelsOfFile(file.files[0], shape);
    use(isInkOnPaper(data, shape) ? invert(data) : data);
  }) });
  const brush = h("input", { type: "range", min: 1, max: 9, step: 1, value: editor.brush, "aria-label": "Brush size", oninput: () => (editor.brush = Number(brush.value)) });
  const preset = choice([["", "Presets …"], ...presets.map((name) => [name, name])], "", { "aria-label": "A mask of the paper", onchange: () => {
    if (preset.value) editor.preset(preset.value);
    preset.value = "";
  } });
  if (!app.hole) app.attempt(fresh);
  return {
    element: h("div", {},
      h("p", { class: "hint" }, "Paint over what is to be filled in. What stays visible is kept bit for bit."),
      editor.element,
      h("div", { class: "controls" }, field("Brush", brush), preset, act("Undo", () => editor.undo()), act("Clear", () => editor.clear()), act("Invert", () => editor.invert())),
      h("div", { class: "controls" }, act("Another sample", () => app.attempt(fresh)), file)),
    body() {
      if (editor.empty) throw new Error("paint over what is to be filled in, or choose a preset, first");
      return { image: nested(pixels, shape), mask: nested(editor.mask, shape.slice(0, 2)) };
    },
  };
}

/** A row of numbers, of which the empty ones are filled in. */
function rowSource(model) {
  const known = app.hole ? Array.from(app.hole, (value) => Number(value.toPrecision(6))) : [];
  const fields = Array.from({ length: model.item_shape[0] }, (_, at) => number(at === 0 ? known[0] ?? 0.5 : "", { step: "any", placeholder: known[at] ?? "unknown" }));
  return {
    element: h("div", {}, h("p", { class: "hint" }, "Leave empty what is to be filled in."),
      h("div", { class: "controls" }, fields.map((one, at) => field(`x${at + 1}`, one)))),
    body() {
      if (fields.every((one) => one.value !== "")) throw new Error("leave a field empty: nothing is to be filled in");
      return { image: fields.map((one) => (one.value === "" ? null : Number(one.value))) };
    },
  };
}

/** The completions, the likeliest first. */
function completions({ items, model: reference, seed }, model) {
  const head = h("h2", {}, items.length > 1 ? `${items.length} completions, the likeliest first` : "The completion");
  return [head, isPlane(model) ? overDensity(items, model) : "", h("div", { class: "grid" }, items.map((item, at) => {
    const flat = item.pixels.flat(2), data = isImage(model) ? Uint8Array.from(flat) : Float32Array.from(flat), name = `completion ${at + 1}`;
    const picture = isImage(model) ? canvasOf(data, model.item_shape, { role: "img", "aria-label": name }) : h("code", {}, flat.map((value) => round(value, 4)).join(", "));
    const act = (text, action) => h("button", { type: "button", "aria-label": `${text} ${name}`, onclick: action }, text);
    return h("figure", { class: "card completion" }, picture,
      h("figcaption", {}, `${round(item.log_likelihood, 5)} nats`, h("br"), h("small", {}, `${item.steps} steps${item.converged ? ", converged" : ""}`)),
      h("div", { class: "row" }, act("Score", () => {
        app.items = [{ data, name: `${name} of seed ${seed}` }];
        app.go("score");
      }), isImage(model) ? act("Save", async () => download(await pngOf(picture), `${reference.replace("@", "-")}-${seed}-${at + 1}.png`)) : null));
  }))];
}

/** Where the completions of a point lie. */
function overDensity(items, model) {
  const plane = new Plane({ label: `The completions over the density of ${model.name}`, onMove: latest((view) => app.attempt(async () => {
    const canvas = await densityOf(model, view);
    if (canvas) plane.underlay(canvas, view);
  })) });
  plane.marked = items.map(({ pixels }) => ({ point: pixels })).reverse();
  app.attempt(async () => {
    const drawn = rowsOf(await fetchArray(`sample${query({ model: model.name, n: 256, seed: 0 })}`));
    plane.fit([...drawn, ...items.map(({ pixels }) => pixels)]);
  });
  return plane.element;
}
