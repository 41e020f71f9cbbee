// A file of rows with their verdicts: scored in pieces, sorted by any column, and to be downloaded.

import { call, postNpy, query } from "./api.js";
import { app } from "./app.js";
import { columnBars } from "./columns.js";
import { csvText, tableOf } from "./csv.js";
import { download, h } from "./dom.js";
import { histogram } from "./histogram.js";
import { batch } from "./npy.js";
import { cellText, isTable, namesOf } from "./rows.js";
import { verdict } from "./verdicts.js";
import { flagged, round, whole } from "./words.js";

const SHOWN = 100, PIECE = 1000;

/**
 * Scores the rows of a text. alpha() is the false-alarm rate. Returns { element, draw(alpha), pValues() }; a row that
 * cannot be scored is listed with its reason.
 */
export async function fileTable(text, name, { model, alpha, signal }) {
  const table = isTable(model) ? namedTable(text, model, signal) : numbersTable(text, model, signal);
  const entries = table.rows.map((cells, at) => ({ at, cells, reason: table.faults?.get(at) ?? null, told: null }));
  const notes = new Set();
  const piece = Math.min(PIECE, app.limits.max_items);
  for (let from = 0; from < entries.length; from += piece) {
    app.say(`Scoring row ${whole(from + 1)} of ${whole(entries.length)} …`);
    const some = entries.slice(from, from + piece).filter(({ reason }) => reason === null);
    if (!some.length) continue;
    const answer = await table.send(some.map(({ cells }) => cells), alpha()).catch((error) => refusal(error, some));
    if (!answer) continue;
    some.forEach((entry, at) => {
      const told = answer.items[at];
      if (told.log_likelihood === null && told.p_value === null && told.reason) entry.reason = told.reason;
      else entry.told = told;
    });
    answer.notes.forEach((note) => notes.add(note));
  }
  app.say("");
  if (!entries.some(({ told }) => told)) throw new Error(`no row of ${name} can be scored: row ${entries[0].at + 1}: ${entries[0].reason}`);
  return view(table, entries, notes, { name, model });
}

/** The service refuses a request only if none of its rows can be scored; it tells why of one. */
function refusal(error, entries) {
  const at = /^items\[(\d+)\]$/.exec(error.field ?? "")?.[1];
  if (at === undefined || error.status !== 422) throw error;
  entries.forEach((entry) => (entry.reason = "no row near it can be scored"));
  entries[at].reason = error.message.replace(/^item \d+:? /, "");
}

/** A table whose columns the service finds by name; it reads the cells itself. */
function namedTable(text, model, signal) {
  const { names, rows, named, mark } = tableOf(text, namesOf(model));
  const send = async (lines, alpha, contributions = "anomalous") => (await call("POST", `score${query({ model: model.name, alpha, contributions, bad_rows: "skip" })}`, {
    body: csvText(named ? [names, ...lines] : lines, mark), headers: { "Content-Type": "text/csv", Accept: "application/json" }, signal,
  })).json();
  return { names, rows, send };
}

/** A table of numbers for a model without names. */
function numbersTable(text, model, signal) {
  const { names, rows } = tableOf(text), width = model.item_shape[0], faults = new Map();
  if (names.length !== width) throw new Error(`the model takes ${width} columns, and the file has ${names.length}`);
  rows.forEach((cells, at) => {
    const wrong = cells.findIndex((cell) => cell === "" || Number.isNaN(Number(cell)));
    if (cells.length !== width) faults.set(at, `has ${cells.length} cells where there are ${width} columns`);
    else if (wrong >= 0) faults.set(at, `column '${names[wrong]}' ${cells[wrong] === "" ? "is empty" : `'${cells[wrong]}' is no number`}`);
  });
  const send = (lines, alpha, contributions = "anomalous") => postNpy(`score${query({ model: model.name, alpha, contributions })}`, batch(lines.map((cells) => Float32Array.from(cells, Number)), [width]), { signal });
  return { names, rows, faults, send };
}

/** Cells by the names that the service calls columns: without a schema their numbers. */
const cellsByName = (model, names, cells) => Object.fromEntries(names.map((name, at) => [isTable(model) ? name : String(at + 1), cells[at]]));

function view(table, entries, notes, { name, model }) {
  const n = model.calibration?.reference ?? 0, { names } = table, explains = Boolean(model.calibration?.folds);
  const plain = names.map((_, column) => entries.every(({ cells }) => !Number.isNaN(Number(cells[column] ?? ""))));
  const first = ({ told }) => told?.contributions?.[0]?.column ?? "";
  // What is told of a row comes first: a wide table scrolls.
  const shown = [["row", ({ at }) => at], ["verdict", ({ told }) => told?.p_value ?? 2], ["p-value", ({ told }) => told?.p_value ?? 2],
    ...(explains ? [["most unlikely", first]] : []),
    ...names.map((each, at) => [each, ({ cells }) => (plain[at] ? Number(cells[at] || "NaN") : cells[at] ?? "")]),
    ["log-likelihood", ({ told }) => told?.log_likelihood ?? -Infinity]];
  const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : Number.isNaN(a) || Number.isNaN(b) ? Number.isNaN(a) - Number.isNaN(b) : a - b);
  let sorted = 2, up = true, most = SHOWN, alpha = 0.01;
  const head = h("tr", {}), body = h("tbody", {}), more = h("button", { type: "button", onclick: () => {
    most += 10 * SHOWN;
    draw();
  } }, "More rows");
  const bad = entries.filter(({ reason }) => reason !== null);

  const save = () => download(new Blob([csvText([["row", ...names, "p_value", "log_likelihood", "anomalous", ...(explains ? ["most_unlikely_column"] : []), "reason"],
    ...entries.map((entry) => [entry.at + 1, ...names.map((_, column) => entry.cells[column] ?? ""), entry.told?.p_value ?? "", entry.told?.log_likelihood ?? "",
      entry.told ? flagged(entry.told.p_value, alpha, n) ?? "" : "", ...(explains ? [first(entry)] : []), entry.reason ?? entry.told?.reason ?? ""])])], { type: "text/csv" }), "verdicts.csv");

  const why = (entry) => {
    const button = h("button", { type: "button", class: "plain", "aria-expanded": Boolean(entry.open), "aria-label": `Why row ${entry.at + 1}`, onclick: () => app.attempt(async () => {
      entry.open = !entry.open;
      if (entry.open && explains && entry.told.contributions?.length !== model.item_shape[0]) entry.told.contributions = (await table.send([entry.cells], alpha, "all")).items[0].contributions;
      draw();
    }) }, entry.open ? "▾" : "▸");
    return button;
  };

  const line = (entry) => [h("tr", { class: entry.told ? null : "bad" },
    h("td", { class: "figure" }, whole(entry.at + 1), entry.told && n ? why(entry) : ""),
    entry.told ? [h("td", {}, n && entry.told.p_value !== null ? verdict(entry.told.p_value, alpha, n) : "–"), h("td", { class: "figure" }, round(entry.told.p_value)),
      explains ? h("td", {}, first(entry)) : null]
      : h("td", { colspan: explains ? 3 : 2 }, h("span", { class: "flagged" }, "✕ not scored: "), entry.reason),
    names.map((_, column) => h("td", { class: plain[column] ? "figure" : null }, cellText(plain[column] && entry.cells[column] ? Number(entry.cells[column]) : entry.cells[column]))),
    h("td", { class: "figure" }, entry.told ? round(entry.told.log_likelihood, 5) : "")),
  entry.open ? h("tr", {}, h("td", { colspan: shown.length }, h("div", { class: "detail" },
    model.calibration?.histogram ? histogram(entry.told.p_value, alpha, model.calibration.histogram) : null,
    entry.told.contributions ? columnBars(entry.told.contributions, cellsByName(model, names, entry.cells), model) : null))) : null];

  function draw(rate = alpha) {
    alpha = rate;
    const rows = [...entries].sort((a, b) => order(shown[sorted][1](a), shown[sorted][1](b)) * (up ? 1 : -1) || a.at - b.at);
    head.replaceChildren(...shown.map(([text], column) => h("th", { scope: "col", "aria-sort": column === sorted ? (up ? "ascending" : "descending") : "none" },
      h("button", { type: "button", class: "plain", onclick: () => {
        up = column === sorted ? !up : true;
        sorted = column;
        draw();
      } }, text, column === sorted ? (up ? " ▲" : " ▼") : ""))));
    body.replaceChildren(...rows.slice(0, most).flatMap(line).filter(Boolean));
    more.hidden = most >= entries.length;
  }
  const element = h("div", { class: "card" }, h("div", { class: "row" }, h("strong", {}, name), h("span", {}, `${whole(entries.length)} rows${bad.length ? `, of which ${whole(bad.length)} cannot be scored` : ""}`),
    h("button", { type: "button", onclick: save }, "Download as CSV")),
  [...notes].map((note) => h("p", { class: "hint" }, `Note: ${note}.`)),
  h("div", { class: "scroll", tabindex: 0 }, h("table", { class: "verdicts-table" }, h("thead", {}, head), body)), more);
  return { element, draw, pValues: () => entries.filter(({ told }) => told).map(({ told }) => told.p_value) };
}
