// Rows of a table's model: objects by column name, as the API takes and gives them.

import { choice, field, h, number } from "./dom.js";
import { round } from "./words.js";

export const isTable = (model) => Boolean(model.schema);
export const namesOf = (model) => model.schema.columns.map(({ name }) => name);

/** Whether a cell of a row to score may be missing: the flow then draws it given the others. */
export const takesMissing = (model) => Boolean(model.arguments.steps);

const isMissing = (value) => value === null || value === undefined || value === "";

export const cellText = (value) => (isMissing(value) ? "–" : typeof value === "number" ? round(value, 5) : String(value));

/** A row in one line. */
export const rowText = (row) => Object.entries(row).map(([name, value]) => `${name} ${cellText(value)}`).join(" · ");

const written = (value) => (isMissing(value) ? "" : typeof value === "number" ? Number(value.toPrecision(7)) : value);

/** Fields of a row: { element, row(), set(row) }, of which the empty ones are null. */
export function rowForm(model, known = {}) {
  const controls = model.schema.columns.map((column) => control(column, known[column.name]));
  return {
    element: h("div", { class: "controls form" }, model.schema.columns.map(({ name }, at) => field(name, controls[at]))),
    set: (row) => model.schema.columns.forEach(({ name }, at) => (controls[at].value = written(row[name]))),
    row: () => Object.fromEntries(model.schema.columns.map(({ name, kind }, at) => {
      const text = controls[at].value;
      return [name, text === "" ? null : kind === "category" || kind === "time" ? text : Number(text)];
    })),
  };
}

function control({ kind, categories, unit, low, high, resolution }, value) {
  const shown = written(value);
  if (kind === "category") return choice([["", "–"], ...categories.map((word) => [word, word])], shown);
  if (kind === "time") return unit === "day" ? h("input", { type: "date", value: shown }) : h("input", { type: "text", value: shown, placeholder: "2024-01-31T12:00" });
  return number(shown, { step: resolution >= 1 ? resolution : "any", placeholder: `${round(low)} to ${round(high)}` });
}

/** A table with a line of names, of rows with something before each; columns named in `marked` stand out. */
export const rowTable = (model, rows, before, marked = []) => h("div", { class: "scroll", tabindex: 0 }, h("table", {},
  h("thead", {}, h("tr", {}, before ? h("td", {}) : null, namesOf(model).map((name) => h("th", { scope: "col" }, name)))),
  h("tbody", {}, rows.map((row, at) => h("tr", {}, before ? h("td", {}, before(at)) : null,
    namesOf(model).map((name) => h("td", { class: `${typeof row[name] === "number" ? "figure" : ""} ${marked.includes(name) ? "filled" : ""}` }, cellText(row[name]))))))));
