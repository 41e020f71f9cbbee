// Numbers as people read them.

export const DEFAULT_ALPHA = 0.01;

const RATES = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/** The false-alarm rates that the slider offers. */
export const rates = RATES;

export const round = (value, digits = 3) =>
  value === null || value === undefined ? "–" : Number(value.toPrecision(digits)).toLocaleString("en", { maximumSignificantDigits: digits });

export const whole = (value) => Math.round(value).toLocaleString("en");

export const percent = (share) => `${round(share * 100)} %`;

/** "1 in 40", "30 in 100". */
export function share(value) {
  if (value >= 0.1) return `${Math.round(value * 100)} in 100`;
  return `1 in ${whole(1 / value)}`;
}

/** A p-value as a sentence. n: the held-out items that it rests on. */
export function inWords(p, n) {
  if (p <= 1.001 / (n + 1)) return `None of the ${whole(n)} held-out items is as atypical.`;
  return `${share(p)} ordinary items ${p >= 0.1 ? "are" : "is"} at least as atypical.`;
}

/** Whether an item is flagged at a rate; null where no p-value can be that small. */
export const flagged = (p, alpha, n) => (p === null || alpha < 1 / (n + 1) ? null : p <= alpha);

/** A seed to begin with. */
export const someSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % 100000;

export const shapeOf = ({ any_size: any, item_shape: shape }) => (!any ? shape.join(" × ") : any.aligned_size ? any.aligned_size.join(" × ") : "any size");
export const isImage = (model) => model.item_shape.length > 1;
export const isPlane = (model) => model.item_shape.length === 1 && model.item_shape[0] === 2;
