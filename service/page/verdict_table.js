// Rows of a CSV file with their verdicts: sorted by any column, and to be downloaded.

import { download, h } from "./dom.js";
import { flagged, round, whole } from "./words.js";
import { writeCsv } from "./csv.js";
import { verdict } from "./verdicts.js";

const SHOWN = 100;

/** { element, draw(alpha) } of { names, rows, scores }. */
export function verdictTable({ names, rows, scores }, n) {
  const heads = ["row", ...names, "p-value", "log-likelihood", "verdict"];
  const value = (at, column) => {
    if (column === 0) return at + 1;
    if (column <= names.length) return rows[at][column - 1];
    return column === names.length + 2 ? scores[at].log_likelihood ?? -Infinity : scores[at].p_value ?? 2;
  };
  let sorted = names.length + 1, up = true, most = SHOWN, alpha = 0.01;
  const head = h("tr", {}), body = h("tbody", {}), more = h("button", { type: "button", onclick: () => {
    most += 10 * SHOWN;
    draw();
  } }, "More rows");
  const save = h("button", { type: "button", onclick: () => {
    const lines = rows.map((row, at) => [at + 1, ...row, scores[at].p_value ?? "", scores[at].log_likelihood ?? "", flagged(scores[at].p_value, alpha, n) ?? ""]);
    download(writeCsv([["row", ...names, "p_value", "log_likelihood", "anomalous"], ...lines]), "verdicts.csv");
  } }, "Download as CSV");

  function draw(rate = alpha) {
    alpha = rate;
    const order = rows.map((_, at) => at).sort((a, b) => (value(a, sorted) - value(b, sorted)) * (up ? 1 : -1) || a - b);
    head.replaceChildren(...heads.map((text, column) => h("th", { scope: "col", "aria-sort": column === sorted ? (up ? "ascending" : "descending") : "none" },
      h("button", { type: "button", class: "plain", onclick: () => {
        up = column === sorted ? !up : true;
        sorted = column;
        draw();
      } }, text, column === sorted ? (up ? " ▲" : " ▼") : ""))));
    body.replaceChildren(...order.slice(0, most).map((at) => h("tr", {},
      h("td", { class: "figure" }, whole(at + 1)),
      Array.from(rows[at], (cell) => h("td", { class: "figure" }, round(cell, 5))),
      h("td", { class: "figure" }, round(scores[at].p_value)),
      h("td", { class: "figure" }, round(scores[at].log_likelihood, 5)),
      h("td", {}, verdict(scores[at].p_value, alpha, n)))));
    more.hidden = most >= rows.length;
  }
  return { element: h("div", {}, h("div", { class: "row" }, h("span", {}, `${whole(rows.length)} rows`), save),
    h("div", { class: "scroll", tabindex: 0 }, h("table", {}, h("thead", {}, head), body)), more), draw };
}
