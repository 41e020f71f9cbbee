// The density of a 2-D model as a picture: /encode gives latents and the log-determinant, the prior does the rest.

import { postNpy, query } from "./api.js";
import { h } from "./dom.js";
import { batch } from "./npy.js";

const CELLS = 72;

/** log p of one latent under the model's prior. */
const PRIORS = {
  normal: (z) => -0.5 * z * z - 0.5 * Math.log(2 * Math.PI),
  logistic: (z) => -Math.abs(z) - 2 * Math.log1p(Math.exp(-Math.abs(z))),
};

/** Points at the centres of a square's cells, row by row from the top left. */
export function gridOf({ x, y, half }, cells = CELLS) {
  const at = (cell) => half * ((2 * cell + 1) / cells - 1);
  return Array.from({ length: cells * cells }, (_, index) =>
    Float32Array.of(x + at(index % cells), y - at(Math.floor(index / cells))));
}

/** A canvas with the density over a view, light where it is high. */
export async function densityOf(model, view, options) {
  const density = PRIORS[model.prior];
  if (!density) return null;
  const found = await postNpy(`encode${query({ model: model.name })}`, batch(gridOf(view), [2]), options);
  const nats = found.latents.map((z, at) => density(z[0]) + density(z[1]) + found.log_abs_det[at]);
  const most = Math.max(...nats.filter(Number.isFinite));
  return picture(nats.map((value) => Math.exp((value - most) / 2))); // the root shows what is rare as well
}

function picture(shares) {
  const canvas = h("canvas", { width: CELLS, height: CELLS }), context = canvas.getContext("2d");
  const image = context.createImageData(CELLS, CELLS);
  shares.forEach((share, at) => image.data.set([...colour(share), 255], 4 * at));
  context.putImageData(image, 0, 0);
  return canvas;
}

// Cividis (Nunez et al. 2018) at eight places: even in brightness, and the same to colour-blind eyes.
const CIVIDIS = [[0, 34, 78], [27, 58, 111], [68, 82, 110], [100, 107, 112], [130, 132, 119], [163, 158, 114], [200, 186, 98], [254, 232, 56]];

function colour(share) {
  const place = Math.min(1, Math.max(0, share || 0)) * (CIVIDIS.length - 1), low = Math.min(Math.floor(place), CIVIDIS.length - 2);
  return CIVIDIS[low].map((level, band) => Math.round(level + (place - low) * (CIVIDIS[low + 1][band] - level)));
}
