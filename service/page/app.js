// What the tabs share: the chosen model, items on their way from tab to tab, the address, messages.

import { getJson } from "./api.js";

const find = (id) => document.getElementById(id);

export const app = {
  models: [],
  limits: { max_n: 64, max_items: 1000 },
  model: null,
  /** Items that the Score tab shows: { data, name }, of one model's shape. */
  items: [],
  /** The item that the Inpaint tab begins with. */
  hole: null,
  /** Parameters of the address's hash beside tab and model. */
  parameters: {},
  tab: "sample",

  /** Rewrite the address without a new entry in the history. */
  note(parameters) {
    Object.assign(app.parameters, parameters);
    history.replaceState(null, "", app.address());
  },

  address(tab = app.tab, parameters = app.parameters) {
    const said = Object.entries({ model: app.model?.name, ...parameters });
    const kept = said.filter(([, value]) => value !== undefined && value !== null && value !== "");
    return `#${tab}?${new URLSearchParams(kept)}`;
  },

  go(tab, parameters = {}) {
    location.hash = app.address(tab, parameters);
  },

  async choose(name) {
    app.model = await getJson(`models/${encodeURIComponent(name)}`);
    return app.model;
  },

  /** What is going on, for the eye and for a screen reader. */
  say(text) {
    find("status").textContent = text;
  },

  /** Show an error, or none. */
  tell(error) {
    const place = find("problem");
    place.hidden = !error;
    place.textContent = error ? words(error) : "";
    if (error && error.status === 401) askKey();
  },

  /** Run f; what goes wrong is shown. Returns undefined then. */
  async attempt(f) {
    app.tell(null);
    try {
      return await f();
    } catch (error) {
      if (error.name !== "AbortError") app.tell(error);
      app.say("");
      return undefined;
    }
  },
};

function words(error) {
  const file = /^\S+\.\w+\b/.test(error.message); // whose name is kept as it is
  const detail = file ? error.message : error.message.charAt(0).toUpperCase() + error.message.slice(1);
  const field = error.field && !error.message.includes(error.field) ? ` (field: ${error.field})` : "";
  const again = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  return `${detail}${field}.${again}`;
}

export function askKey() {
  const dialog = find("ask-key");
  if (!dialog.open) dialog.showModal();
}
