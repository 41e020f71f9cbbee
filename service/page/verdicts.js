// The slider of the false-alarm rate, and what it does to verdicts.

import { field, h } from "./dom.js";
import { DEFAULT_ALPHA, flagged, percent, rates, share, whole } from "./words.js";

/** { element, alpha() }; changed() is called after each move. */
export function rateSlider(changed, start) {
  const nearest = (alpha) => rates.reduce((best, rate, at) => (Math.abs(Math.log(rate / alpha)) < Math.abs(Math.log(rates[best] / alpha)) ? at : best), 0);
  const slider = h("input", { type: "range", min: 0, max: rates.length - 1, step: 1, value: nearest(start), name: "alpha" });
  const said = h("output", {});
  const back = h("button", { type: "button", onclick: () => move(DEFAULT_ALPHA) }, `Back to ${percent(DEFAULT_ALPHA)}`);
  const alpha = () => rates[slider.value];
  const tell = () => {
    said.replaceChildren(percent(alpha()));
    slider.setAttribute("aria-valuetext", percent(alpha()));
    back.disabled = alpha() === DEFAULT_ALPHA;
  };
  const move = (to) => {
    slider.value = nearest(to);
    tell();
    changed();
  };
  slider.addEventListener("input", () => move(alpha()));
  tell();
  return { element: h("div", { class: "controls" }, field("False-alarm rate", slider, said), back), alpha };
}

/** What a rate means for these p-values. */
export function summary(pValues, alpha, n) {
  if (alpha < 1 / (n + 1)) return `No verdict at ${percent(alpha)}: with ${whole(n)} held-out items no p-value is that small.`;
  const count = pValues.filter((p) => p !== null && p <= alpha).length;
  const of = pValues.length === 1 ? (count ? "This item is flagged" : "This item is not flagged") : `${whole(count)} of these ${whole(pValues.length)} items ${count === 1 ? "is" : "are"} flagged`;
  return `At this rate about ${share(alpha)} ordinary items ${alpha >= 0.1 ? "are" : "is"} flagged. ${of}.`;
}

/** The verdict as a word with a sign, so that colour is not all that tells. */
export function verdict(p, alpha, n) {
  const found = flagged(p, alpha, n);
  if (found === null) return h("span", {}, "no verdict");
  return found ? h("span", { class: "flagged" }, "▲ anomalous") : h("span", { class: "ordinary" }, "● ordinary");
}
