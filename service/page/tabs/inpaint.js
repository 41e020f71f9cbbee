// Inpaint: fill in what a mask hides, and watch how.

import { fittedPixels } from "../any_size.js";
import { call, fetchArray, follow, postJson, query } from "../api.js";
import { app } from "../app.js";
import { lineChart } from "../chart.js";
import { csvText } from "../csv.js";
import { densityOf } from "../density.js";
import { choice, download, field, fileButton, h, latest, number } from "../dom.js";
import { maskPicture, MaskEditor, presets } from "../masks.js";
import { batch, rowsOf } from "../npy.js";
import { canvasOf, invert, isInkOnPaper, nested, paint, pixelsOfFile, pngOf, shapeOfNested } from "../pictures.js";
import { Plane } from "../plane.js";
import { isTable, namesOf, rowForm, rowTable } from "../rows.js";
import { isImage, isPlane, round, someSeed } from "../words.js";

export const title = "Inpaint";

const METHODS = [["ascent", "ascent: likely, near the mean"], ["langevin", "langevin: varied draws"],
  ["map", "map: the likeliest"], ["latent", "latent: in the latent space"], ["nice", "nice: the paper's raw step"]];

export function show(panel) {
  const { model, parameters } = app;
  if (!model) return void panel.append(h("p", {}, "No model is served yet."));
  const leaving = new AbortController(), settings = controls(parameters);
  const source = isImage(model) ? imageSource(model, leaving.signal) : isTable(model) ? tableSource(model, leaving.signal) : rowSource(model);
  const run = h("button", { type: "button", class: "main" }, "Fill in"), halt = h("button", { type: "button", disabled: true }, "Stop");
  const live = h("div", { class: "live" }), results = h("div", { class: "completions", "aria-live": "polite" });
  const chart = lineChart("Log-likelihood, nats", { xName: "steps" });
  let task = null, begun = null, given = null;

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
        const { items } = document, compare = (at) => chart.draw(items[at].trace, items.filter((_, other) => other !== at).map(({ trace }) => trace));
        compare(0);
        live.querySelector("figure:has(img)")?.remove();
        results.replaceChildren(...completions(document, model, compare, id === begun ? given : null));
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
    [begun, given] = [id, source.hidden?.() ?? null];
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
  let pixels = app.hole ?? new Uint8Array(model.item_shape.reduce((a, b) => a * b, 1)), shape = pixels.shape ?? model.item_shape;
  let picture = canvasOf(pixels, shape), editor = new MaskEditor(picture, shape);
  const stage = h("div", {}, editor.element), masks = h("div", { class: "presets", role: "group", "aria-label": "Masks of the paper" });
  const brush = h("input", { type: "range", min: 1, step: 1, "aria-label": "Brush size", oninput: () => (editor.brush = Number(brush.value)) });
  const equip = () => {
    brush.max = Math.max(9, Math.round(Math.max(shape[0], shape[1]) / 6));
    brush.value = editor.brush;
    masks.replaceChildren(...presets.map((name) => h("button", { type: "button", class: "preset", title: name, "aria-label": `Mask: ${name}`, onclick: () => editor.preset(name) }, maskPicture(name, shape))));
  };
  /** Show other pixels. Those of another size than the model's own keep their shape with them. */
  const use = (data, own = model.item_shape) => {
    const same = own.join() === shape.join();
    [pixels, shape] = [app.hole = own === model.item_shape ? data : Object.assign(data, { shape: own }), own];
    if (same) return paint(picture, data, shape[2] ?? 1);
    picture = canvasOf(pixels, shape);
    editor = new MaskEditor(picture, shape);
    stage.replaceChildren(editor.element);
    equip();
  };
  const act = (text, action) => h("button", { type: "button", onclick: action }, text);
  const fresh = async () => use(rowsOf(await fetchArray(`sample${query({ model: model.name, n: 1, seed: someSeed(), temperature: 0.8 })}`, null, { signal }))[0]);
  const file = fileButton("A picture of yours", (files) => app.attempt(async () => {
    if (model.any_size) return use(...await fittedPixels(files[0], model));
    const data = await pixelsOfFile(files[0], shape);
    use(isInkOnPaper(data, shape) ? invert(data) : data);
  }), { accept: "image/*" });
  equip();
  if (!app.hole) app.attempt(fresh);
  return {
    element: h("div", {},
      h("p", { class: "hint" }, "Paint over what is to be filled in, or take one of the masks below. What stays visible is kept bit for bit.",
        model.any_size ? ` Pictures may have any size; where the longer side has more than ${model.any_size.longest} pixels, they are scaled down.` : ""),
      stage, masks,
      h("div", { class: "controls" }, field("Brush", brush), act("Undo", () => editor.undo()), act("Clear", () => editor.clear()), act("Invert", () => editor.invert())),
      h("div", { class: "controls" }, act("Another sample", () => app.attempt(fresh)), file)),
    hidden: () => h("div", { class: "mask" }, canvasOf(pixels, shape, { role: "img", "aria-label": "what was given" }), editor.copy()),
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

/** A row by column name, of which the empty fields are filled in. */
function tableSource(model, signal) {
  const form = rowForm(model, app.hole ?? {});
  const fresh = async () => {
    const { items: [row] } = await postJson(`sample${query({ model: model.name, n: 1, seed: someSeed() })}`, undefined, { signal });
    form.set({ ...row, [namesOf(model)[0]]: null });
  };
  if (!app.hole) app.attempt(fresh);
  return {
    element: h("div", { class: "card" }, h("p", { class: "hint" }, "Empty the fields that are to be filled in; the others are kept."), form.element,
      h("div", { class: "row" }, h("button", { type: "button", onclick: () => app.attempt(fresh) }, "Another sample"))),
    hidden: () => namesOf(model).filter((name) => form.row()[name] === null),
    body() {
      const row = form.row();
      if (Object.values(row).every((value) => value !== null)) throw new Error("leave a field empty: nothing is to be filled in");
      return { image: row };
    },
  };
}

/** The completions, the likeliest first; compare(at) shows the way of one among those of all, given is what was hidden. */
function completions({ items, model: reference, seed }, model, compare, given) {
  const file = `${reference.replace("@", "-")}-${seed}`, best = items[0].log_likelihood;
  const shape = isImage(model) ? shapeOfNested(items[0].pixels) : model.item_shape;
  const dataOf = ({ pixels }) => (isTable(model) ? pixels : isImage(model) ? Uint8Array.from(pixels.flat(2)) : Float32Array.from(pixels));
  const all = () => (isTable(model) ? download(new Blob([csvText([namesOf(model), ...items.map(({ pixels }) => namesOf(model).map((name) => pixels[name] ?? ""))])], { type: "text/csv" }), `${file}.csv`)
    : download(batch(items.map(dataOf), shape), `${file}.npy`));
  const toScore = (at) => {
    app.items = [{ data: dataOf(items[at]), shape, name: `completion ${at + 1} of seed ${seed}` }];
    app.go("score");
  };
  const rows = () => rowTable(model, items.map(dataOf), (at) => h("div", { class: "row tight", onpointerenter: () => compare(at), onfocusin: () => compare(at) },
    h("button", { type: "button", "aria-label": `Score completion ${at + 1}`, onclick: () => toScore(at) }, "Score"), h("span", { class: "completion" }, `${round(items[at].log_likelihood, 5)} nats`)), given ?? []);
  const figures = () => items.map((item, at) => {
    const data = dataOf(item), name = `completion ${at + 1}`;
    const picture = isImage(model) ? canvasOf(data, shape, { role: "img", "aria-label": name })
      : h("code", {}, Array.from(data, (value) => round(value, 4)).join(", "));
    const act = (text, action) => h("button", { type: "button", "aria-label": `${text} ${name}`, onclick: action }, text);
    const below = best - item.log_likelihood;
    const figure = h("figure", { class: "card completion", onpointerenter: () => compare(at), onfocusin: () => compare(at) }, picture,
      h("figcaption", {}, `${round(item.log_likelihood, 5)} nats`, below > 0.05 ? h("small", {}, ` ${round(below)} below the first`) : "", h("br"), h("small", {}, `${item.steps} steps${item.converged ? ", converged" : ""}`)),
      h("div", { class: "row" }, act("Score", () => toScore(at)), isImage(model) ? act("Save", async () => download(await pngOf(picture), `${file}-${at + 1}.png`)) : null));
    return figure;
  });
  return [h("div", { class: "row" }, h("h2", {}, items.length > 1 ? `${items.length} completions, the likeliest first` : "The completion"),
    h("button", { type: "button", onclick: all }, items.length > 1 ? "Download all" : "Download"),
    items.length > 1 ? h("small", {}, "The strong line above is that of the completion that you point at.") : null),
  isPlane(model) && !isTable(model) ? overDensity(items, model) : "",
  isTable(model) ? rows() : h("div", { class: "grid" }, given ? h("figure", { class: "card given" }, given, h("figcaption", {}, "what was given")) : null, figures())];
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
