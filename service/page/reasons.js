// What drove a verdict: the tests of an item, the rarest first.

import { h } from "./dom.js";
import { round, share } from "./words.js";

const QUESTIONS = {
  complexity: "Is it as likely as ordinary pictures that are as simple?",
  correlation: "Do its latents look like independent draws?",
  layout: "Is there detail where there usually is, and none elsewhere?",
  regions: "Is some part of it unlikely, or unlikely for how simple it is?",
  texture: "Is it as rough as ordinary pictures are?",
  shape: "Are there ordinary pictures that look much like it?",
  likelihood: "Is it as likely as ordinary items?",
  latent: "Do its latents look like draws of the prior?",
  mixture: "Is it as likely under a mixture of normal distributions?",
  neighbours: "Are training rows near it?",
  relations: "Are training rows near it, where relations between columns count?",
  places: "Is its strangest place as ordinary as those of other pictures?",
  areas: "Are its strangest places together as ordinary as those of other pictures?",
};

export function reasons(item, model) {
  const tests = Object.entries(item.tests).sort(([, a], [, b]) => a.p_value - b.p_value);
  const meanings = model.calibration?.statistics ?? {};
  const body = tests.map(([name, { p_value, statistics }]) => h("tr", {},
    h("th", { scope: "row" }, QUESTIONS[name] ?? name, h("small", {}, ` ${name}`)),
    h("td", { class: "figure" }, round(p_value), h("small", {}, p_value > 0 ? ` ${share(p_value)}` : "")),
    h("td", {}, Object.entries(statistics).map(([key, value]) => h("div", { title: meanings[key] ?? "" }, `${key.replaceAll("_", " ")}: ${round(value, 4)}`)))));
  return h("div", { class: "scroll", tabindex: 0 }, h("table", {},
    h("thead", {}, h("tr", {}, ["Question", "p-value", "Statistics"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, body)));
}

/** The question whose answer was the rarest. */
export function foremost(item) {
  const [name] = Object.entries(item.tests).sort(([, a], [, b]) => a.p_value - b.p_value)[0] ?? [];
  return name === undefined ? "" : QUESTIONS[name] ?? name;
}
