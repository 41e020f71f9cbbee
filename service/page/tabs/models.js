// Models: what is served, in which version and precision, its card, and administration.

import { call, postJson } from "../api.js";
import { app } from "../app.js";
import { field, h } from "../dom.js";
import { markdown } from "../markdown.js";
import { round, shapeOf, whole } from "../words.js";

export const title = "Models";

export function show(panel) {
  const stop = new AbortController(), made = [];
  const list = h("div", { class: "scroll", tabindex: 0 }), facts = h("section", {}), card = h("section", { class: "card-text" });
  panel.append(h("h2", {}, "Served"), list, administration(), facts, card);
  drawList(list);
  if (app.model) {
    describe(facts, app.model);
    app.attempt(async () => {
      const address = `models/${encodeURIComponent(app.model.name)}`;
      const picture = (name, alt) => {
        const element = h("img", { alt });
        if (!app.model.pictures.includes(name)) return h("em", {}, alt);
        call("GET", `${address}/pictures/${encodeURIComponent(name)}`, { signal: stop.signal }).then((answer) => answer.blob()).then((blob) => {
          made.push(URL.createObjectURL(blob));
          element.src = made.at(-1);
        }, () => element.replaceWith(h("em", {}, alt)));
        return element;
      };
      const text = await (await call("GET", `${address}/card`, { signal: stop.signal })).text();
      card.replaceChildren(h("details", { open: true }, h("summary", {}, "Model card"), markdown(text, picture)));
    });
  }
  return () => {
    stop.abort();
    made.forEach((address) => URL.revokeObjectURL(address));
  };
}

/** On the test set; of models of one's own pictures, on those that calibrate. */
const measured = ({ quality }) => quality.test ?? quality["held out"];

function drawList(place) {
  const served = app.models.map((one) => h("tr", { "aria-current": one.name === app.model?.name ? "true" : null },
    h("th", { scope: "row" }, h("a", { href: `#models?model=${encodeURIComponent(one.name)}` }, one.name), one.default ? h("small", {}, " default") : ""),
    h("td", { class: "figure" }, one.version), h("td", {}, one.architecture), h("td", { class: "figure" }, shapeOf(one)),
    h("td", { class: "figure" }, round(measured(one)?.log_likelihood ?? null, 5)),
    h("td", { class: "figure" }, round(measured(one)?.bits_per_dim ?? null, 4))));
  const refused = (app.refused ?? []).map((one) => h("tr", {}, h("th", { scope: "row" }, one.name), h("td", { class: "figure" }, one.version),
    h("td", { colspan: 4 }, h("span", { class: "flagged" }, "▲ refused: "), one.reason)));
  const waiting = (app.loading ?? []).map((name) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { colspan: 5 }, "still being loaded")));
  place.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ["Name", "Version", "Architecture", "Item", "Log-likelihood", "Bits per dim"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, served, refused, waiting)));
}

function describe(place, model) {
  const rows = [
    ["Serves", model.reference], ["Precision of the nets", model.fallback ? `${model.precision} (${model.fallback})` : model.precision],
    ["Parameters", whole(model.parameters)], ["Prior", model.prior], ["Published", model.published.slice(0, 10)],
    ["Calibrated on", model.calibration ? `${model.calibration.source} (${whole(model.calibration.reference)} for the p-values)` : "nothing: it gives no p-values"],
  ];
  const detection = Object.entries(model.calibration?.detection ?? {});
  place.replaceChildren(h("h2", {}, model.name), h("div", { class: "scroll", tabindex: 0 }, h("table", {}, h("tbody", {}, rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)))))));
  if (detection.length)
    place.append(h("h3", {}, "How well it tells foreign items from ordinary ones"), h("div", { class: "scroll", tabindex: 0 }, h("table", {},
      h("thead", {}, h("tr", {}, ["Foreign set", "AUROC", "False alarms where 95 of 100 are found"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, detection.map(([name, { auroc, fpr_at_95_tpr: alarms }]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "figure" }, round(auroc)), h("td", { class: "figure" }, round(alarms))))))));
}

/** Load and unload, with the administrator's token. It is kept in the field alone. */
function administration() {
  const token = h("input", { type: "password", autocomplete: "off", spellcheck: "false" });
  const name = h("input", { type: "text", value: app.model?.name ?? "", spellcheck: "false" });
  const act = (text, what, done) => h("button", { type: "button", onclick: () => app.attempt(async () => {
    app.say(`${text} ${name.value} …`);
    const told = await postJson(`v2/repository/models/${encodeURIComponent(name.value)}/${what}`, {}, { token: token.value });
    await app.refreshModels();
    drawList(document.querySelector("#panel .scroll"));
    app.say(done(told));
  }) }, text);
  return h("details", { class: "card" }, h("summary", {}, "Load and unload"),
    h("p", { class: "hint" }, "Load reads the store's current version of a name, checks it, and lets it serve. Requests under way finish."),
    h("form", { class: "row", onsubmit: (event) => event.preventDefault() }, field("Name", name), field("Administrator's token", token),
      act("Load", "load", (told) => `${told.model} serves.`), act("Unload", "unload", (told) => `${told.name} is served no longer.`)));
}
