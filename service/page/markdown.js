// The Markdown of model cards as elements. Nothing of it is ever read as HTML.

import { h } from "./dom.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|!\[([^\]]*)\]\(([^)\s]+)\)|\[([^\]]+)\]\(([^)\s]+)\)/g;

/** picture(address, text) makes the element of an image. */
export function markdown(text, picture) {
  const lines = text.split("\n"), blocks = [];
  const inline = (part) => {
    const made = [];
    let last = 0;
    for (const match of part.matchAll(INLINE)) {
      const [all, code, bold, alt, source, label, link] = match;
      made.push(part.slice(last, match.index));
      if (code !== undefined) made.push(h("code", {}, code));
      else if (bold !== undefined) made.push(h("strong", {}, bold));
      else if (source !== undefined) made.push(picture(source, alt));
      else made.push(/^https?:/.test(link) ? h("a", { href: link, rel: "noreferrer noopener", target: "_blank" }, label) : label);
      last = match.index + all.length;
    }
    return [...made, part.slice(last)];
  };
  const take = (fits) => {
    const taken = [];
    while (lines.length && fits(lines[0])) taken.push(lines.shift());
    return taken;
  };
  while (lines.length) {
    const line = lines[0], heading = /^(#+)\s+(.*)/.exec(line);
    if (!line.trim()) lines.shift();
    else if (heading) {
      lines.shift();
      blocks.push(h(`h${Math.min(6, heading[1].length + 1)}`, {}, inline(heading[2])));
    } else if (line.startsWith("```")) {
      lines.shift();
      blocks.push(h("pre", { tabindex: 0 }, take((one) => !one.startsWith("```")).join("\n")));
      lines.shift();
    } else if (line.startsWith("    ")) blocks.push(h("pre", { tabindex: 0 }, take((one) => one.startsWith("    ")).map((one) => one.slice(4)).join("\n")));
    else if (line.startsWith("|")) blocks.push(table(take((one) => one.startsWith("|")), inline));
    else if (/^[-*] /.test(line)) {
      const points = [];
      for (const one of take((next) => /^[-*] /.test(next) || /^ {2}\S/.test(next))) {
        if (/^[-*] /.test(one)) points.push(one.slice(2));
        else points[points.length - 1] += ` ${one.trim()}`;
      }
      blocks.push(h("ul", {}, points.map((point) => h("li", {}, inline(point)))));
    } else blocks.push(h("p", {}, inline([lines.shift(), ...take((one) => one.trim() && !/^(#|```|\||[-*] )/.test(one))].join(" "))));
  }
  return blocks;
}

function table(lines, inline) {
  const [head, , ...body] = lines.map((line) => line.replace(/^\||\|\s*$/g, "").split("|").map((cell) => cell.trim()));
  const row = (cells, tag) => h("tr", {}, cells.map((cell) => h(tag, tag === "th" ? { scope: "col" } : /^[-\d.,]+( nats)?$/.test(cell) ? { class: "figure" } : {}, inline(cell))));
  return h("div", { class: "scroll", tabindex: 0 }, h("table", {}, head.some(Boolean) ? h("thead", {}, row(head, "th")) : null, h("tbody", {}, body.map((cells) => row(cells, "td")))));
}
