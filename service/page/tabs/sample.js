// Sample: new items of a model; of a 2-D model, points over the density.

import { fetchArray, postJson, query } from "../api.js";
import { app } from "../app.js";
import { csvText } from "../csv.js";
import { densityOf } from "../density.js";
import { download, field, h, latest, number } from "../dom.js";
import { between, STEPS } from "../interpolation.js";
import { batch, rowsOf } from "../npy.js";
import { canvasOf, paint, pngOf } from "../pictures.js";
import { Plane } from "../plane.js";
import { isTable, namesOf, rowTable, rowText } from "../rows.js";
import { isImage, isPlane, round, someSeed } from "../words.js";

export const title = "Sample";

const PAGE = 48, POINTS = 1000;

export function show(panel) {
  const { model, parameters } = app;
  if (!model) return void panel.append(h("p", {}, "No model is served yet."));
  const stop = new AbortController();
  const seed = number(parameters.seed ?? someSeed(), { min: 0, step: 1, name: "seed" });
  const warmth = h("input", { type: "range", min: 0, max: 1.5, step: 0.05, value: parameters.temperature ?? 1, name: "temperature" });
  const said = h("output", {}, warmth.value);
  const body = h("div", {}), shown = { picked: [] };
  const bar = h("div", { class: "bar", role: "group", "aria-label": "What to do with the picked items" });
  const walk = h("div", { class: "walk" });

  const again = () => {
    app.note({ seed: seed.value, temperature: warmth.value });
    shown.picked = [];
    walk.replaceChildren();
    choose();
    body.replaceChildren();
    const context = { model, body, seed: Number(seed.value), temperature: warmth.value, signal: stop.signal, pick, shown };
    return app.attempt(() => (isImage(model) ? gallery(context) : isPlane(model) && !isTable(model) ? points(context) : rows(context)));
  };

  function pick(item) {
    const at = shown.picked.findIndex((one) => one.name === item.name);
    if (at >= 0) shown.picked.splice(at, 1);
    else shown.picked.push(item);
    choose();
  }

  function choose() {
    const { picked } = shown, many = picked.length > 1, whole = model.any_size?.aligned_size;
    const parts = whole && whole.join() !== model.item_shape.slice(0, 2).join();
    shown.mark?.();
    const act = (text, action, off, hint) => h("button", { type: "button", disabled: off, title: hint, onclick: action }, text);
    const told = picked.length ? `${picked.length} picked:` : "Click items to pick them:";
    bar.replaceChildren(h("span", {}, told),
      act("Score", () => {
        app.items = picked.map(({ data, name }) => ({ data, name }));
        app.go("score");
      }, !picked.length || parts, parts ? `${model.name} judges pictures of ${model.any_size.aligned_size.join(" × ")} pixels, and these are pieces of them` : undefined),
      act("Inpaint", () => {
        app.hole = picked[0].data;
        app.go("inpaint");
      }, picked.length !== 1),
      act("Walk between two", () => app.attempt(() => walkBetween(walk, model, picked, stop.signal)), picked.length !== 2,
        "The way between two items through the latent space"),
      act("Download", () => save(model, picked), !picked.length),
      act("Unpick", () => {
        shown.picked = [];
        choose();
      }, !many && !picked.length));
  }

  warmth.addEventListener("input", () => said.replaceChildren(warmth.value));
  const redraw = latest(again);
  warmth.addEventListener("change", redraw);
  seed.addEventListener("change", redraw);
  panel.append(
    h("p", { class: "hint" }, `${model.name} has learnt what ordinary items look like. Here it draws new ones; under Score it tells whether an item is like them, and under Inpaint it fills in what is missing.`),
    h("div", { class: "controls" }, field("Seed", seed),
      h("button", { type: "button", class: "main", onclick: () => {
        seed.value = someSeed();
        redraw();
      } }, "Draw new ones"),
      field("Temperature", warmth, said)),
    h("p", { class: "hint" }, isPlane(model) && !isTable(model) ? "Points that the model draws, over its density. Click a point to pick it; scroll or pinch to zoom, drag to move."
      : "Every item is new. The same seed gives the same items. A temperature below 1 gives more typical items, above 1 more unusual ones."),
    bar, walk, body);
  choose();
  redraw();
  return () => {
    stop.abort();
    shown.leave?.();
  };
}

/** A gallery of images that grows as one scrolls; each further page is drawn with the next seed. */
async function gallery({ model, body, seed, temperature, signal, pick, shown }) {
  const grid = h("div", { class: "gallery", role: "group", "aria-label": "Samples" });
  const more = h("button", { type: "button", class: "more" }, "More");
  body.append(grid, more);
  let page = 0, busy = false;
  shown.mark = () => {
    for (const tile of grid.children) tile.setAttribute("aria-pressed", shown.picked.some((one) => one.name === tile.title));
  };
  const grow = async () => {
    if (busy || signal.aborted) return;
    busy = true;
    app.say("Drawing …");
    const from = seed + page;
    const found = await app.attempt(() => fetchArray(`sample${query({ model: model.name, n: Math.min(PAGE, app.limits.max_n), seed: from, temperature })}`, null, { signal }));
    busy = false;
    if (!found || !grid.isConnected) return;
    page++;
    grid.append(...rowsOf(found).map((data, at) => {
      const name = `seed ${from}, item ${at + 1}`;
      return h("button", { type: "button", class: "tile", title: name, "aria-label": name, "aria-pressed": false, onclick: () => pick({ data, name }) }, canvasOf(data, model.item_shape));
    }));
    app.say(`${grid.children.length} items drawn.`);
    seen.unobserve(more); // so that it is looked at anew: the button may still be in sight
    seen.observe(more);
  };
  const seen = new IntersectionObserver((entries) => entries[0].isIntersecting && grow(), { rootMargin: "200px" });
  more.addEventListener("click", grow);
  await grow();
  shown.leave?.();
  shown.leave = () => seen.disconnect();
}

async function points({ model, body, seed, temperature, signal, pick, shown }) {
  const picked = ([x, y]) => shown.picked.some((one) => one.data[0] === x && one.data[1] === y);
  const plane = new Plane({
    label: `${POINTS} points of ${model.name} over its density. Arrow keys move, plus and minus zoom, Enter picks the point nearest to the centre.`,
    onPick: (x, y) => {
      const far = (point) => (point[0] - x) ** 2 + (point[1] - y) ** 2;
      const data = plane.points.reduce((a, b) => (far(b) < far(a) ? b : a));
      pick({ data, name: `(${round(data[0])}, ${round(data[1])})` });
    },
    onMove: debounced((view) => under(view)),
  });
  const under = latest((view) => app.attempt(async () => {
    const canvas = await densityOf(model, view, { signal });
    if (canvas) plane.underlay(canvas, view);
  }));
  shown.mark = () => {
    plane.marked = plane.points.filter(picked).map((point) => ({ point }));
    plane.draw();
  };
  body.append(plane.element);
  app.say("Drawing …");
  const found = await fetchArray(`sample${query({ model: model.name, n: Math.min(POINTS, app.limits.max_n), seed, temperature })}`, null, { signal });
  plane.points = rowsOf(found);
  plane.fit(plane.points);
  app.say(`${plane.points.length} points drawn.`);
}

function debounced(f, patience = 150) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(f, patience, ...given);
  };
}

/** Rows of a model of vectors, one a line; by column name where the model has names. */
async function rows({ model, body, seed, temperature, signal, pick, shown }) {
  const asked = `sample${query({ model: model.name, n: PAGE, seed, temperature })}`;
  const drawn = isTable(model) ? (await postJson(asked, undefined, { signal })).items : rowsOf(await fetchArray(asked, null, { signal }));
  const items = drawn.map((data, at) => ({ data, name: `seed ${seed}, item ${at + 1}` }));
  const boxes = items.map((item) => h("input", { type: "checkbox", "aria-label": item.name, onchange: () => pick(item) }));
  shown.mark = () => boxes.forEach((box, at) => (box.checked = shown.picked.some((one) => one.name === items[at].name)));
  body.append(isTable(model) ? rowTable(model, drawn, (at) => boxes[at]) : h("div", { class: "scroll", tabindex: 0 }, h("table", {}, h("tbody", {}, items.map((item, at) =>
    h("tr", {}, h("td", {}, boxes[at]), Array.from(item.data, (value) => h("td", { class: "figure" }, round(value, 4)))))))));
  app.say(`${items.length} rows drawn.`);
}

async function walkBetween(place, model, [a, b], signal) {
  app.say("Walking …");
  const way = await between(model, a.data, b.data, { signal });
  const slider = h("input", { type: "range", min: 0, max: STEPS - 1, step: 1, value: (STEPS - 1) / 2, "aria-label": "Place on the way" });
  app.say("");
  if (!isImage(model)) {
    const text = h("output", {});
    const tell = () => text.replaceChildren(isTable(model) ? rowText(way[slider.value]) : Array.from(way[slider.value], (value) => round(value, 4)).join(", "));
    slider.addEventListener("input", tell);
    tell();
    place.replaceChildren(h("h2", {}, "Between the two"), slider, text);
    return;
  }
  const middle = canvasOf(way[slider.value], model.item_shape, { role: "img", "aria-label": "The item at this place" });
  slider.addEventListener("input", () => paint(middle, way[slider.value], model.item_shape[2] ?? 1));
  const score = h("button", { type: "button", onclick: () => {
    app.items = way.filter((_, at) => at % 4 === 0).map((data, at) => ({ data, name: `place ${at + 1} of 9 on the way` }));
    app.go("score");
  } }, "Score the way");
  place.replaceChildren(h("h2", {}, "Between the two"),
    h("div", { class: "way" }, canvasOf(way[0], model.item_shape), h("div", { class: "grow" }, middle, slider), canvasOf(way[STEPS - 1], model.item_shape)), score);
  slider.focus();
}

async function save(model, picked) {
  if (isImage(model) && picked.length === 1) return download(await pngOf(canvasOf(picked[0].data, model.item_shape)), `${model.name}.png`);
  if (isTable(model)) return download(new Blob([csvText([namesOf(model), ...picked.map(({ data }) => namesOf(model).map((name) => data[name] ?? ""))])], { type: "text/csv" }), `${model.name}.csv`);
  return download(batch(picked.map(({ data }) => data), model.item_shape), `${model.name}.npy`);
}
