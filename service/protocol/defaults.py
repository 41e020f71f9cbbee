"""Defaults and fixed limits of a request's parameters: each is stated once, here."""

ALPHA = 0.01
"""The p-value at which an item is called anomalous unless the request says otherwise."""
SAMPLE_N = 1
INPAINT_N = 1
INPAINT_STEPS = 200
INPAINT_METHOD = "ascent"
INPAINT_METHODS = ("ascent", "langevin", "latent", "map", "nice")
"""The methods of ``flows.inpainting``, which the api processes do not import; a test holds the two lists together."""
STEP_SIZE = 1.0
TEMPERATURE = 1.0
SCORE_SEED = 0
LARGEST_SEED = 2**63 - 1
DRAWN_SEED_BITS = 53
"""Bits of a seed that the service draws, so that it survives a JSON number in any language."""
SNAPSHOTS = 48
"""The most snapshots that are kept of one inpainting, spread evenly over its steps."""
PICTURED = 16
"""The first completions of an inpainting, whose pixels the snapshots hold."""
