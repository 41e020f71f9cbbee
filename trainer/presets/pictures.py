"""Pictures of the user's own, of any sizes: ``sluice-train pictures --data DIR``. Sizes and steps follow from them."""

from trainer.data import CIFAR10, OwnData
from trainer.presets.preset import Preset, Smoke

# A lattice flow in three megabytes whose nets do not know the place of a pixel. One is trained for each fold.
PICTURES = Preset(
    name="pictures",
    model="my-pictures",
    data=OwnData(),
    architecture="lattice",
    arguments={"width": 64, "blocks": 3, "components": 8, "joint": True, "anywhere": True},
    initial_items=4,  # this architecture has no data-dependent parameters
    epochs=1,  # steps follow from the budget of time: see trainer/pictures
    batch_size=8,
    learning_rate=2e-3,  # with 3e-3 and Muon's 0.02 the likelihood jumped up and down in the first hundred steps
    warmup_steps=20,
    weight_decay=0.02,
    muon_rate=0.012,
    clip_norm=0.5,
    ema_decay=0.98,
    channels_last=True,
    smoke=Smoke(
        below=9.0,
        arguments={"width": 16, "blocks": 1, "components": 4},
        limit=500,
        batch_size=25,
        learning_rate=5e-3,
        data=CIFAR10,
    ),
)

PRESETS = (PICTURES,)
