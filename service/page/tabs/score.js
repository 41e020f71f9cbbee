// Score: is this an item that the training data could have held?

import { mapsOfPictures, pictureItem, sendPictures } from "../any_size.js";
import { fetchArray, postJson, postNpy, query } from "../api.js";
import { app } from "../app.js";
import { fileTable } from "../file_table.js";
import { h, latest, field } from "../dom.js";
import { legend } from "../heat.js";
import { itemCard } from "../item_card.js";
import { batch, rowsOf } from "../npy.js";
import { isTable } from "../rows.js";
import { itemSources } from "../sources.js";
import { rateSlider, summary } from "../verdicts.js";
import { DEFAULT_ALPHA, isImage, share } from "../words.js";

export const title = "Score";

const MAPPED = 16; // pictures that are told where they are strange: the map is a second pass through the flow
const REFUSED = new Set([400, 413, 415, 422]); // an item is at fault, not the service or the moment
const EXPLAINED = 8; // rows of which every column is told at once

export function show(panel) {
  const { model, parameters } = app;
  if (!model) return void panel.append(h("p", {}, "No model is served yet."));
  const stop = new AbortController(), n = model.calibration?.reference ?? null;
  const head = h("p", { class: "summary", "aria-live": "polite" }), list = h("div", { class: "verdicts" }), place = h("div", {});
  const shown = { opacity: parameters.map === undefined ? 0.8 : Number(parameters.map) / 100, boxes: true };
  let found = null, table = null;

  const rate = rateSlider(() => {
    app.note({ alpha: rate.alpha() === DEFAULT_ALPHA ? null : rate.alpha() });
    draw();
    if (model.map && app.items.length) score(); // regions are those of this rate
  }, Number(parameters.alpha) || DEFAULT_ALPHA);

  /** POST /score of items, by column name where the model has names. */
  const send = (items, asked = {}) => {
    const address = `score${query({ model: model.name, alpha: rate.alpha(), ...asked })}`, options = { signal: stop.signal };
    if (model.any_size) return sendPictures(`${address}&fit=true`, items, options).then((answer) => answer.json());
    return isTable(model) ? postJson(address, { items: items.map(({ data }) => data) }, options)
      : postNpy(address, batch(items.map(({ data }) => data), model.item_shape), options);
  };

  const score = latest(() => app.attempt(() => judge()));

  /** Score all items. Those that are refused, by `refused` why, are left out and told. */
  async function judge(refused = []) {
    if (!app.items.length) {
      found = null;
      draw();
      return tellRefused(refused);
    }
    app.say("Scoring …");
    const given = app.items.slice(), items = model.any_size ? await Promise.all(given.map((item) => (item.bitmap ? item : pictureItem(item, model)))) : given;
    // What was added or removed meanwhile stays so: each item that is still there is replaced by what was made of it.
    const made = new Map(given.map((item, at) => [item, items[at]]));
    app.items = app.items.map((item) => made.get(item) ?? item);
    const mapped = model.map ? items.slice(0, MAPPED) : [];
    const all = mapped.length === items.length;
    try {
      found = { items, answer: await send(items, mapped.length && all ? { map: true }
        : model.calibration?.folds ? { contributions: items.length > EXPLAINED ? "anomalous" : "all" } : {}) };
    } catch (error) {
      if (!REFUSED.has(error.status)) throw error;
      // An item that is refused has no card to remove it by, and would be refused with every later one.
      const place = /^items\[(\d+)\]/.exec(error.field ?? ""), one = place && items[Number(place[1])];
      app.items = app.items.filter((item) => (one ? item !== one : !items.includes(item) || found?.items.includes(item)));
      if (!one) throw error;
      return judge([...refused, `${error.message.replace(place[0], one.name)}`]);
    }
    draw();
    if (mapped.length) await where(mapped, all);
    app.say("");
    tellRefused(refused);
  }

  function tellRefused(refused) {
    if (refused.length) throw new Error(refused.join(". "));
  }

  /** The maps of some items, and their regions where the score did not bring them. */
  async function where(items, told) {
    app.say("Looking where …");
    if (!told) (await send(items, { map: true })).items.forEach(({ regions }, at) => (found.answer.items[at].regions = regions));
    const lacking = items.filter(({ rarity }) => !rarity);
    if (lacking.length) {
      const address = `score${query({ model: model.name, map: true, fit: model.any_size ? true : null })}`, options = { signal: stop.signal };
      const maps = model.any_size ? await mapsOfPictures(address, lacking, options)
        : rowsOf(await fetchArray(address, batch(lacking.map(({ data }) => data), model.item_shape), options)).map((rarity) => ({ rarity }));
      maps.forEach((one, at) => Object.assign(lacking[at], one));
    }
    draw();
  }

  function draw() {
    const alpha = rate.alpha(), pValues = table?.pValues() ?? found?.answer.items.map((one) => one.p_value) ?? [];
    head.replaceChildren(!pValues.length ? "" : n === null ? "This model has no calibration, so it gives log-likelihoods and no verdicts."
      : summary(pValues, alpha, n));
    if (found && found.items.length > 1 && n !== null) head.append(h("br"), together(found.answer.group, alpha, n));
    for (const note of found?.answer.notes ?? []) head.append(h("br"), h("small", {}, `Note: ${note}.`));
    list.replaceChildren(...(found?.items ?? []).map((item, at) => itemCard(item, found.answer.items[at], { model, alpha, shown, remove })));
    maps.hidden = !model.map || !found;
    if (found) sources.tell?.(found, alpha);
    table?.draw(alpha);
  }

  const remove = (item) => {
    app.items = app.items.filter((one) => one !== item);
    score();
  };
  const forget = () => {
    table = null;
    place.replaceChildren();
  };
  /** `live`: while a point is being dragged the page does not move. */
  const add = async (items, live = false) => {
    forget();
    app.items = [...items, ...app.items];
    await score();
    if (!live) seen();
  };
  const seen = () => head.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  const clear = () => {
    forget();
    app.items = [];
    return score();
  };

  /** The rows of a file that holds a table. */
  async function addTable(text, name) {
    if (isImage(model)) throw new Error(`${model.name} takes pictures; a CSV file is for a model of a table`);
    app.items = [];
    found = null;
    table = await fileTable(text, name, { model, alpha: rate.alpha, signal: stop.signal });
    place.replaceChildren(table.element);
    draw();
    seen();
  }

  const opacity = h("input", { type: "range", min: 0, max: 100, step: 5, value: 100 * shown.opacity, oninput: () => {
    shown.opacity = opacity.value / 100;
    app.note({ map: opacity.value === "80" ? null : opacity.value });
    for (const over of list.querySelectorAll("canvas.over")) over.style.opacity = shown.opacity;
  } });
  const boxes = h("input", { type: "checkbox", checked: true, onchange: () => {
    shown.boxes = boxes.checked;
    draw();
  } });
  const maps = h("div", { class: "controls", hidden: true }, field("Map over the picture", opacity), h("label", { class: "field" }, boxes, h("span", {}, "Boxes")), legend());
  const sources = itemSources({ model, add, addTable, clear, signal: stop.signal });
  panel.append(h("p", { class: "hint" }, `Is it like the items that ${model.name} has learnt? A verdict says how rare it would be among ordinary ones, and ${model.map ? "a map where it is strange" : isTable(model) ? "bars which column is at fault" : "tests say why"}.`), sources.element, n === null ? "" : rate.element, maps, head, place, list);
  score();
  return () => {
    stop.abort();
    sources.leave();
  };
}

function together(group, alpha, n) {
  const few = group.p_value < 1e-4 ? "less than 1 in 10,000" : share(group.p_value);
  return `All ${group.count} together: ${few} groups of ordinary items ${group.p_value >= 0.1 ? "are" : "is"} as atypical, so as a whole they are ${group.p_value <= alpha ? "anomalous" : "ordinary"}.`;
}
