// Comma-separated values (RFC 4180), read and written.

/** Lines of cells. Commas, semicolons and tabs separate, whichever the first line has most of. */
export function readCsv(text) {
  const first = text.slice(0, text.indexOf("\n") + 1 || undefined);
  const mark = [",", ";", "\t"].sort((a, b) => first.split(b).length - first.split(a).length)[0];
  const lines = [[]];
  let cell = "", quoted = false;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    if (quoted) {
      if (sign !== '"') cell += sign;
      else if (text[at + 1] === '"') cell += text[++at];
      else quoted = false;
    } else if (sign === '"') quoted = true;
    else if (sign === mark || sign === "\n") {
      lines.at(-1).push(cell.trim());
      cell = "";
      if (sign === "\n") lines.push([]);
    } else if (sign !== "\r") cell += sign;
  }
  lines.at(-1).push(cell.trim());
  return lines.filter((line) => line.some(Boolean));
}

/** Numbers of a table: { names, rows }; a first line that holds no number is the names. Raises where a cell is none. */
export function tableOf(text, columns) {
  const lines = readCsv(text);
  if (!lines.length) throw new Error("the CSV file is empty");
  const named = lines[0].every((cell) => Number.isNaN(Number(cell)) || cell === "");
  const names = named ? lines.shift() : Array.from({ length: lines[0].length }, (_, at) => `column ${at + 1}`);
  if (names.length !== columns) throw new Error(`the model takes ${columns} columns, and the CSV file has ${names.length}`);
  const rows = lines.map((line, at) => {
    const row = Float32Array.from(line, (cell) => (cell === "" ? NaN : Number(cell)));
    const wrong = row.findIndex(Number.isNaN);
    if (line.length !== columns || wrong >= 0)
      throw new Error(`row ${at + 1} of the CSV file: ${line.length !== columns ? `${line.length} cells` : `${names[wrong]} is no number`}`);
    return row;
  });
  if (!rows.length) throw new Error("the CSV file has no rows");
  return { names, rows };
}

export const writeCsv = (lines) =>
  new Blob([lines.map((line) => line.map((cell) => (/[",\n]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : cell)).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" });
