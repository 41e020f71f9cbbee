// Prometheus' text exposition, and what follows from two readings of it.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;

/** { name: [{ labels, value }] }. */
export function parse(text) {
  const found = {};
  for (const line of text.split("\n")) {
    const parts = line.startsWith("#") ? null : LINE.exec(line);
    if (!parts) continue;
    const labels = Object.fromEntries([...(parts[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
    (found[parts[1]] ??= []).push({ labels, value: parts[3] === "+Inf" ? Infinity : Number(parts[3]) });
  }
  return found;
}

/** The sum of a name's samples that fit. */
export const total = (metrics, name, fits = () => true) =>
  (metrics[name] ?? []).filter(({ labels }) => fits(labels)).reduce((sum, { value }) => sum + value, 0);

/** What grew between two readings; null where a restart made it shrink. */
export function growth(before, after, name, fits) {
  const grown = total(after, name, fits) - total(before, name, fits);
  return grown >= 0 ? grown : null;
}

/** A quantile of what a histogram took in between two readings; null where it took in nothing. */
export function quantile(before, after, name, share, fits = () => true) {
  const bounds = [...new Set((after[`${name}_bucket`] ?? []).map(({ labels }) => labels.le))];
  const counts = bounds.map((le) => [le === "+Inf" ? Infinity : Number(le), growth(before, after, `${name}_bucket`, (labels) => labels.le === le && fits(labels))])
    .sort(([a], [b]) => a - b);
  const all = counts.at(-1)?.[1];
  if (!all) return null;
  let low = 0, below = 0;
  for (const [bound, count] of counts) {
    if (count >= share * all) return bound === Infinity ? low : low + ((bound - low) * (share * all - below)) / Math.max(count - below, 1e-9);
    [low, below] = [bound, count];
  }
  return low;
}
