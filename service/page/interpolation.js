// The way between two items through the latent space: encode both, walk, decode.

import { fetchArray, postJson, query } from "./api.js";
import { batch, rowsOf, writeNpy } from "./npy.js";
import { isTable } from "./rows.js";

export const STEPS = 33;

/** The items on the way from a to b, with both ends. */
export async function between(model, a, b, options) {
  const from = query({ model: model.name });
  if (isTable(model)) {
    const { latents: [start, end] } = await postJson(`encode${from}`, { items: [a, b] }, options);
    const way = Array.from({ length: STEPS }, (_, at) => along(start, end, at / (STEPS - 1)));
    return (await postJson(`decode${from}`, { latents: way }, options)).items;
  }
  const latents = await fetchArray(`encode${from}`, batch([a, b], model.item_shape), options);
  const [start, end] = rowsOf(latents);
  const way = new Float32Array(STEPS * start.length);
  for (let at = 0; at < STEPS; at++) way.set(along(start, end, at / (STEPS - 1)), at * start.length);
  return rowsOf(await fetchArray(`decode${from}`, writeNpy(way, [STEPS, ...latents.shape.slice(1)]), options));
}

/**
 * A point of the great arc. Draws of a prior of many dimensions lie near a sphere, which the straight line leaves
 * (Shoemake 1985).
 */
export function along(a, b, share) {
  let dot = 0, left = 0, right = 0;
  a.forEach((value, at) => {
    dot += value * b[at];
    left += value * value;
    right += b[at] * b[at];
  });
  const angle = Math.acos(Math.min(1, Math.max(-1, dot / Math.sqrt(left * right || 1))));
  const sine = Math.sin(angle);
  const [u, v] = sine < 1e-4 ? [1 - share, share] : [Math.sin((1 - share) * angle) / sine, Math.sin(share * angle) / sine];
  return a.map((value, at) => u * value + v * b[at]);
}
