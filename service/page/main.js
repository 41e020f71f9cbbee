// The page's frame: tabs, the model's choice, the key, and the address that names the state.

import { getJson, key } from "./api.js";
import { app, askKey } from "./app.js";
import { h } from "./dom.js";
import { shapeOf } from "./words.js";
import * as sample from "./tabs/sample.js";
import * as score from "./tabs/score.js";
import * as inpaint from "./tabs/inpaint.js";
import * as models from "./tabs/models.js";
import * as service from "./tabs/service.js";

const TABS = { sample, score, inpaint, models, service };
const panel = document.getElementById("panel"), select = document.getElementById("model");
const tabs = document.getElementById("tabs"), dialog = document.getElementById("ask-key");
let leave = null, turn = 0;

const buttons = Object.entries(TABS).map(([name, { title }]) =>
  h("button", { id: `tab-${name}`, role: "tab", type: "button", "aria-controls": "panel", onclick: () => app.go(name) }, title));
tabs.append(...buttons);
tabs.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const names = Object.keys(TABS), at = (names.indexOf(app.tab) + step + names.length) % names.length;
  app.go(names[at]);
  buttons[at].focus();
});

select.addEventListener("change", () => {
  app.items = [];
  app.hole = null;
  location.hash = `#${app.tab}?model=${encodeURIComponent(select.value)}`;
});

document.getElementById("key").addEventListener("click", askKey);
dialog.addEventListener("close", () => {
  const field = document.getElementById("key-field");
  if (dialog.returnValue === "use") {
    key.set(field.value.trim());
    start();
  }
  field.value = "";
});

/** Read the hash: tab, model, and the tab's own parameters. */
function state() {
  const [tab, text = ""] = location.hash.slice(1).split("?");
  const { model, ...parameters } = Object.fromEntries(new URLSearchParams(text));
  return { tab: tab in TABS ? tab : "sample", model, parameters };
}

async function show() {
  const mine = ++turn;
  const { tab, model, parameters } = state();
  const known = app.models.find((one) => one.name === model);
  if (!app.models.length || (model && !known && app.loading.includes(model))) return void wait(model);
  const name = (known ?? app.models.find((one) => one.default) ?? app.models[0])?.name;
  app.tell(null);
  app.say("");
  leave?.();
  leave = null;
  Object.assign(app, { tab, parameters });
  for (const button of buttons) {
    const chosen = button.id === `tab-${tab}`;
    button.setAttribute("aria-selected", chosen);
    button.tabIndex = chosen ? 0 : -1;
  }
  panel.setAttribute("aria-labelledby", `tab-${tab}`);
  document.title = `${TABS[tab].title} · Sluice`;
  try {
    if (name && app.model?.name !== name) await app.choose(name);
    if (mine !== turn) return; // the address has changed meanwhile
    select.value = name ?? "";
    panel.replaceChildren();
    panel.className = tab;
    leave = TABS[tab].show(panel) ?? null;
    if (model && !known) panel.prepend(h("p", { class: "notice" }, `The model ${model} is not served here. This is ${name}.`));
  } catch (error) {
    app.tell(error);
  }
}

/** A model that is still being loaded is shown as soon as it serves. */
function wait(model) {
  const none = !app.models.length && !app.loading.length && !app.refused.length;
  app.say(none ? "This service has no models so far: its store holds none." : `${model ?? "The default model"} is still being loaded …`);
  const mine = turn;
  setTimeout(() => mine === turn && start(), 1000);
}

/** The list of models again, after a change of it. */
async function refreshModels() {
  const found = await getJson("models");
  Object.assign(app, { models: found.models, limits: found.limits, refused: found.refused, loading: found.loading });
  const order = [...found.models].sort((a, b) => b.default - a.default || b.item_shape.length - a.item_shape.length);
  select.replaceChildren(...order.map((one) => h("option", { value: one.name }, `${one.name} (${shapeOf(one)})`)));
  select.value = app.model?.name ?? "";
}

async function start() {
  try {
    await refreshModels();
    await show();
  } catch (error) {
    app.tell(error);
  }
}

app.refreshModels = refreshModels;
window.addEventListener("hashchange", show);
start();
