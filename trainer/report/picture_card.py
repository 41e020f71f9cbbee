"""The model card of a model of the user's own pictures, and its picture of maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template

import torch
from matplotlib.figure import Figure
from torch import Tensor

from flows.anomaly import PictureCalibration
from model_store.manifest import Dtype
from trainer.data.names import readable
from trainer.pictures.plan import FOLDS, PicturePlan
from trainer.pictures.training import TrainedFlow
from trainer.presets import Preset
from trainer.report.drawing import png_of
from trainer.report.evaluation import Quality
from trainer.report.pictures import SAMPLE_TEMPERATURE

_CARD = Template("""\
# $name

Normalizing flows of $count pictures of $folder. The model tells which pictures are unusual, and where.

![The calibrating pictures with the strangest places, and their maps](maps.png)

## Data

$found

Pictures are turned as their EXIF data say, brought to 8 bits, and scaled down to a longer side of $longest pixels where
they are larger; the service does the same. Worked on: $sizes.

Scenes: $scenes.

## Architecture

`$architecture`, $parameters parameters for each of $folds flows, stored as $dtype:
$arguments

$place Larger pictures are scored in tiles that overlap, in bounded memory. The log-likelihood of a picture is that of
the mean of the flows' densities, pixel by pixel.

## Training

    $command

Each flow is trained on crops of $crop x $crop pixels of two thirds of the pictures; an eighth of these chose the
weights that were kept. Crops are taken $augmentation. Steps: $steps.

| | |
|---|---|
$provenance

![Log-likelihood of the first flow against its looks at the held-out crops](loss.png)

## Results

Of all pictures, each under the flow that was trained without it: **$bits bits per dimension** ($log_likelihood nats a
picture, standard error $standard_error).

![Samples of crops at temperature $temperature](samples.png)

## Verdicts and maps

p-values rest on $n pictures, in $folds folds of two halves each (cross-conformal). The smallest p-value is
1 / ($n + 1) = $smallest: at a smaller alpha no picture can be called anomalous. Of ordinary pictures about a share
alpha is.

Places are compared with $aligned. A region's p-value compares its strangest place with the strangest places of ordinary
pictures.

## Limitations

- Ordinary means: like these pictures. Another camera, light, focus or scale makes every picture unusual.
- A larger picture than these has more places, so some are strange more often, and one above $longest pixels is scaled
  down, so that what it shows looks smaller. Answers have a note then. Train on the sizes that you score.
- A fault that looks like the surface itself, such as a piece of it turned round, may have no effect.
""")

_ALIGNED = (
    "The pictures are aligned, which was found by validation. Nets are told what is usual at each place: the mean of "
    "the training pictures. Only pictures of this size are scored."
)
_ONE_SIZE = (
    "Nets do not know the place of a pixel. Maps compare each place with the same place of other pictures, so only "
    "pictures of this size are scored."
)
_ANYWHERE = "Nets do not know the place of a pixel, so pictures of any size are scored."


def write(
    plan: PicturePlan,
    preset: Preset,
    flows: Sequence[TrainedFlow],
    quality: Quality,
    calibration: PictureCalibration,
    name: str,
    provenance: Mapping[str, str | int | float],
    longest: int,
    dtype: Dtype,
) -> str:
    """The card in Markdown. ``dtype`` is that of stored matrices."""
    log_likelihood, standard_error = quality.nats()
    n = calibration.size
    text = _CARD.substitute(
        name=name,
        count=f"{n:,}",
        folder=plan.found.folder.resolve().name,
        found="\n".join(plan.found.told()),
        longest=longest,
        scenes=plan.told_of_scenes(),
        sizes=plan.told()[0].removeprefix("working size: "),
        architecture=preset.architecture,
        parameters=f"{sum(parameter.numel() for parameter in flows[0].flow.parameters()):,}",
        folds=FOLDS,
        dtype=f"{dtype} (vectors as float32)",
        arguments="\n".join(f"- {argument}: `{value}`" for argument, value in preset.arguments.items()),
        command=provenance["command"],
        crop=plan.crop,
        augmentation=plan.augmentation.told,
        place=_ALIGNED if plan.place else _ONE_SIZE if calibration.aligned else _ANYWHERE,
        steps=", ".join(f"{each.steps:,}" for each in flows),
        provenance="\n".join(f"| {key} | {value} |" for key, value in provenance.items() if key != "command"),
        bits=f"{quality.bits_per_dim:.3f}",
        log_likelihood=log_likelihood,
        standard_error=standard_error,
        temperature=SAMPLE_TEMPERATURE,
        n=f"{n:,}",
        smallest=f"{1 / (n + 1):.3g}",
        aligned="the same place of other pictures" if calibration.aligned else "places anywhere in other pictures",
    )
    return readable(text)


def maps(calibration: PictureCalibration, shown: Sequence[Tensor], highest: Sequence[float]) -> bytes:
    """Pictures (H, W[, C]) uint8 beside their maps, as PNG. ``highest`` are the scores of their strangest places."""
    figure = Figure(figsize=(9, 2.4 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 2, squeeze=False)
    for (left, right), picture, score in zip(axes, shown, highest, strict=True):
        with torch.inference_mode():
            rarity = calibration.assess(picture).rarity.cpu().numpy()
        pixels = picture.cpu().numpy()
        for axis in (left, right):
            axis.set_axis_off()
        left.imshow(pixels, cmap="gray", vmin=0, vmax=255)
        left.set_title(f"a calibrating picture; its strangest place scores {score:.1f}", fontsize=8)
        shades = right.imshow(rarity, cmap="plasma", vmin=1, vmax=5)
        figure.colorbar(shades, ax=right, label="-log10 of the share of places")
    return png_of(figure)
