// The card of one scored item: verdict, its place among ordinary items, where or which column, and what drove it.

import { app } from "./app.js";
import { columnBars } from "./columns.js";
import { h } from "./dom.js";
import { heatPicture, whereInWords } from "./heat.js";
import { histogram } from "./histogram.js";
import { foremost, reasons } from "./reasons.js";
import { isTable, rowText } from "./rows.js";
import { verdict } from "./verdicts.js";
import { flagged, inWords, isImage, round } from "./words.js";

/** item: { data, name, rarity }, told: its part of the answer of POST /score. */
export function itemCard(item, told, { model, alpha, shown, remove }) {
  const n = model.calibration?.reference ?? 0, p = told.p_value, alarm = p !== null && flagged(p, alpha, n);
  const repair = h("button", { type: "button", onclick: () => {
    app.hole = item.data;
    app.go("inpaint");
  } }, "Inpaint");
  const drop = h("button", { type: "button", class: "plain", "aria-label": `Remove ${item.name}`, onclick: () => remove(item) }, "✕");
  const nats = told.log_likelihood === null ? told.reason ?? "beyond what the model can represent"
    : `log-likelihood ${round(told.log_likelihood, 5)} nats${told.bits_per_dim === null ? "" : ` · ${round(told.bits_per_dim)} bits per dimension`}`;
  return h("article", { class: "card verdict", "aria-label": item.name }, pictureOf(item, told, model, shown),
    h("div", { class: "grow-left" },
      h("div", { class: "row" }, p === null ? null : verdict(p, alpha, n), h("small", {}, item.name), h("span", { class: "row push" }, item.bitmap ? null : repair, drop)),
      p === null ? h("p", {}, told.reason ?? "No p-value.") : h("p", {}, inWords(p, n), alarm ? ` Rarest answer: ${foremost(told).toLowerCase()}` : ""),
      p === null || !model.calibration?.histogram ? null : histogram(p, alpha, model.calibration.histogram),
      told.regions ? h("p", {}, whereInWords(told.regions, alpha)) : null,
      h("small", {}, p === null ? "" : `p-value ${round(p)} · `, nats)),
    told.contributions ? h("section", { class: "wide" }, h("h3", {}, "Which column"), columnBars(told.contributions, isTable(model) ? item.data : Object.fromEntries(Array.from(item.data, (value, at) => [at + 1, value])), model)) : null,
    p === null ? null : why(item, told, model));
}

function pictureOf(item, told, model, shown) {
  if (isImage(model)) return heatPicture(item, model.item_shape, told.regions, shown);
  if (isTable(model)) return h("p", { class: "wide" }, rowText(item.data));
  return h("code", {}, Array.from(item.data, (value) => round(value, 4)).join(", "));
}

function why(item, told, model) {
  const details = h("details", { class: "wide", open: item.open ?? false, ontoggle: () => (item.open = details.open) },
    h("summary", {}, "What drove the verdict"), reasons(told, model));
  return details;
}
