// Comma-separated values (RFC 4180), read and written.

/** { lines, mark }: lines of cells, and what parts them. Commas, semicolons and tabs separate, whichever the first line has most of. */
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
  return { lines: lines.filter((line) => line.some(Boolean)), mark };
}

/** { names, rows, named } of a file: the names of its columns, and rows of cells. Names are made up where it has none. */
export function tableOf(text, known = []) {
  const { lines, mark } = readCsv(text.replace(/^\uFEFF/, ""));
  if (!lines.length) throw new Error("the file is empty");
  const named = lines[0].some((cell) => known.includes(cell)) || lines[0].every((cell) => cell === "" || Number.isNaN(Number(cell)));
  const names = named ? lines.shift() : Array.from({ length: lines[0].length }, (_, at) => `column ${at + 1}`);
  if (!lines.length) throw new Error("the file has no rows");
  return { names, rows: lines, named, mark };
}

/** The text of a table. */
export const csvText = (lines, mark = ",") =>
  lines.map((line) => line.map((cell) => (/["\n\r,;\t]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : cell)).join(mark)).join("\r\n") + "\r\n";
