// Elements, made with one call each: h("button", { onclick: f, class: "main" }, "Run").

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "width", "height", "open", "selected"]);

export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

/** A labelled control: the label is the text, and what follows it. */
export const field = (text, control, ...after) => h("label", { class: "field" }, h("span", {}, text), control, ...after);

export const number = (value, properties) => h("input", { type: "number", value, inputmode: "decimal", ...properties });

export function choice(options, chosen, properties) {
  const select = h("select", properties, options.map(([value, text]) => h("option", { value }, text)));
  select.value = chosen;
  return select;
}

/** A button that asks for files; the input itself is there for keyboards and screen readers, and is not seen. */
export function fileButton(text, take, properties) {
  const input = h("input", { type: "file", class: "unseen", ...properties, onchange: () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) take(files);
  } });
  return h("label", { class: "button" }, input, text);
}

/** Save bytes as a file of the user's. */
export function download(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** Calls f at most once at a time; a call meanwhile is made afterwards, with the latest arguments. */
export function latest(f) {
  let running = false, next = null;
  return async (...given) => {
    next = given;
    if (running) return;
    running = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await f(...now);
      }
    } finally {
      running = false;
    }
  };
}
