"""The model card: data, architecture, training, measured results and limitations of a published model."""

from __future__ import annotations

from collections.abc import Iterable
from string import Template

from flows.anomaly import CrossCalibration
from model_store import CalibrationEvidence
from model_store.manifest import Dtype
from model_store.publication import Figures
from tables import Schema, kinds
from trainer.optimisers.schedule import FINAL_SHARE
from trainer.presets import Preset
from trainer.report.evaluation import Latents, Quality
from trainer.report.own_samples import OwnSamples
from trainer.report.pictures import SAMPLE_TEMPERATURE
from trainer.run.finished import FinishedRun

_CARD = Template("""\
# $name

A normalizing flow of $title. It samples, gives the exact log-likelihood of an item, and fills in missing parts.

$pictures
## Data

$title: $licence.

$columns$training items to train on, $validation held out from the same training set$purpose, and
$test of the test set to report on. The manifest says which items the verdicts are calibrated on.

## Architecture

`$architecture`, from the allow-list of Sluice, with $parameters parameters, stored as $dtype.

$arguments

## Training

    $command

$optimiser, $epochs epochs of batches of $batch_size, $optimisation.
$kept

| | |
|---|---|
$provenance

![Log-likelihood against the epoch](loss.png)

## Results

Measured by the command above at the end of its run, with the weights as stored and float32 arithmetic.

| split | items | mean log-likelihood | standard error | bits per dimension |
|---|---:|---:|---:|---:|
| test | $test | $log_likelihood nats | $standard_error | $bits |
$own_samples
$units

![Histogram of the test items' log-likelihoods](scores.png)

Latents of $encoded test items, all dimensions together, beside the prior that they should follow:

| | latents | prior |
|---|---:|---:|
$latents

![Histogram of the latents](latents.png)

## Verdicts

$verdicts
$verdict_pictures
## Limitations

$limitations
""")

_IMAGE_LIMITATIONS = """\
- A high likelihood does not mean that an item is of the kind trained on: images that are smoother or emptier than the
  training set's can score higher. Use the calibrated verdict rather than the bare number.
- A flow of this size models pixels better than shapes: many samples show no item of the set.
- Items of another size, inverted or centred differently are outside the data that it was trained on."""

_VECTOR_LIMITATIONS = """\
- A flow is continuous, so clusters that are separate in the data stay connected by thin bridges of density.
- A high density does not mean that an item is of the kind trained on. Use the calibrated verdict rather than the bare
  number.
- Where a column takes only a few values, a density over it has no upper bound, and its size says little."""


_CAPTIONS = {
    "samples.png": f"Samples at temperature {SAMPLE_TEMPERATURE}",
    "samples-full.png": "samples at temperature 1, as the flow has learnt the data",
    "density.png": "The density beside the data",
}


_VERDICT_CAPTIONS = {
    "calibration.png": "Histogram of the held-out items' nonconformity scores",
    "map.png": "Pictures with a square pasted in, and the maps of where they are strange",
}
_VERDICT_WORDS = {
    "calibration.png": """\
An item's p-value is the share of these held-out items that are at least as atypical. To the right of a line an item is
flagged at that rate.""",
    "map.png": """\
Where a picture is strange: test pictures with a square of one grey level, framed, and below them their maps. The colour
says how rare such a place is among ordinary pictures. These are the first pictures of the test set.""",
}


def write(
    run: FinishedRun,
    quality: Quality,
    latents: Latents,
    name: str,
    dtype: Dtype,
    pictures: Iterable[str],
    calibration: CalibrationEvidence | None = None,
    own_samples: OwnSamples | None = None,
) -> str:
    """The card in Markdown.

    ``dtype`` is that of stored matrices, ``pictures`` are the names of the files that will lie beside it.
    """
    flow, preset, splits, pictures = run.flow, run.preset, run.splits, list(pictures)
    log_likelihood, standard_error = quality.nats()
    return _CARD.substitute(
        name=name,
        title=preset.data.title,
        licence=preset.data.licence,
        pictures=_first_pictures(pictures),
        columns=_columns(splits.schema),
        training=f"{len(splits.train):,}",
        validation=f"{len(splits.validation):,}",
        purpose=" to choose the epoch by" if preset.keep_best else "",
        test=f"{len(splits.test):,}",
        architecture=preset.architecture,
        parameters=f"{sum(parameter.numel() for parameter in flow.parameters()):,}",
        arguments="\n".join(f"- {argument}: `{value}`" for argument, value in preset.arguments.items()),
        dtype=dtype if dtype == "float32" else f"{dtype} (vectors as float32)",
        command=run.settings.command,
        epochs=len(run.history),
        batch_size=preset.batch_size,
        optimiser="Muon and AdamW" if preset.muon_rate else "AdamW",
        optimisation=_optimisation(preset),
        kept=_kept(run),
        provenance="\n".join(f"| {key} | {value} |" for key, value in run.provenance().items() if key != "command"),
        log_likelihood=log_likelihood,
        standard_error=standard_error,
        bits="does not apply" if quality.bits_per_dim is None else f"{quality.bits_per_dim:.3f}",
        own_samples=_own_samples(own_samples),
        encoded=f"{len(latents.values):,}",
        latents="\n".join(
            f"| {what} | {found:.4f} | {wanted:.4f} |" for what, (found, wanted) in latents.statistics().items()
        ),
        units=(
            "The density is over pixels scaled to [0, 1], with uniform dequantisation noise."
            if flow.is_image
            else "The density is in the data's own units. In a column with a step it is that of the value plus uniform "
            "noise of one step: the logarithm of a value's probability is on average at least the log-density plus the "
            "logarithm of the step."
            if splits.schema is not None and any(splits.schema.resolutions)
            else "The density is in the data's own units."
        ),
        verdicts=_verdicts(calibration) + (f"\n\n{own_samples.told()}" if own_samples else ""),
        verdict_pictures="".join(
            f"\n{_VERDICT_WORDS[file]}\n\n![{caption}]({file})\n"
            for file, caption in _VERDICT_CAPTIONS.items()
            if file in pictures
        ),
        limitations=_IMAGE_LIMITATIONS if flow.is_image else _VECTOR_LIMITATIONS,
    )


def _own_samples(found: OwnSamples | None) -> str:
    """A row of the table of results; nothing for flows of vectors."""
    if found is None:
        return ""
    quality, (nats, error) = found.quality, found.quality.nats()
    return f"| samples at temperature 1 | {quality.count:,} | {nats} nats | {error} | {quality.bits_per_dim:.3f} |\n"


def _first_pictures(files: Iterable[str]) -> str:
    """What the flow has learnt, under a line that says which picture is which."""
    shown = [file for file in files if file in _CAPTIONS]
    lines = [f"![{_CAPTIONS[file]}]({file})" for file in shown]
    return "\n".join([f"{'; '.join(_CAPTIONS[file] for file in shown)}:\n", *lines, ""]) if shown else ""


def _verdicts(evidence: CalibrationEvidence | None) -> str:
    """What p-values rest on, how small they can be, and whether rows of the user's data are in the model."""
    if evidence is None:
        return "Published without calibration, so there are no p-values: the items were too few."
    calibration = evidence.calibration
    text = (
        f"p-values rest on {evidence.source}.\nThe smallest p-value is 1 / ({calibration.size:,} + 1) = "
        f"{1 / (calibration.size + 1):.3g}: at a smaller alpha no item can be called anomalous.\n"
        + _reached(calibration.size)
    )
    if isinstance(calibration, CrossCalibration):
        text += (
            f"\n\n**{calibration.fit:,} rows of the data lie in this model**, in `calibration.safetensors`, as the "
            "neighbours of verdicts.\nWhoever gets the model gets these rows; `--no-neighbours` leaves them out."
            if calibration.fit
            else "\n\nNo row of the data lies in this model. Quantiles of its columns do."
        )
    return text + _detection(evidence.detection)


def _detection(found: Figures) -> str:
    """A table of how well verdicts tell foreign items from ordinary ones; nothing where it was not measured."""
    if not found:
        return ""
    rows = [f"| {name} | {each['auroc']:.3f} | {each['fpr_at_95_tpr']:.3f} |" for name, each in found.items()]
    return (
        "\n\nHow well the p-values tell other items from ordinary ones of the test set, as AUROC, and the share of "
        "ordinary items\nflagged where 95 of 100 others are:\n\n"
        "| other items | AUROC | false alarms at 95 % found |\n|---|---:|---:|\n" + "\n".join(rows)
    )


def _reached(n: int) -> str:
    """Which of the usual alphas a p-value can be as small as."""
    able = [f"{alpha:g}" for alpha in (0.1, 0.05, 0.01) if alpha >= 1 / (n + 1)]
    return f"Of the alphas 0.1, 0.05 and 0.01, {', '.join(able) or 'none'} can be reached."


def _columns(schema: Schema | None) -> str:
    """A vector's entries by name, with their kinds; nothing for data without a schema."""
    if schema is None:
        return ""
    lines = [f"- `{column.name}`: {kinds.told(column)}" for column in schema.columns]
    left_out = f"\nLeft out of the file: {', '.join(f'`{name}`' for name in schema.left_out)}.\n"
    return "A vector's entries:\n\n" + "\n".join(lines) + "\n" + (left_out if schema.left_out else "") + "\n"


def _kept(run: FinishedRun) -> str:
    """Which weights are published and why, and what the initial ones reached."""
    if not run.preset.keep_best:
        return f"The weights of epoch {run.best.epoch}, the last, are kept."
    best, initial = run.best, run.initial
    start = run.settings.start
    if start is not None and run.mean is not None:
        return (
            f"The mean of the last weights and those of {start.reference} is kept, the best by validation: "
            f"{run.mean:.2f} nats,\nwhere no epoch has more than {best.validation:.2f}."
        )
    if best.epoch == 0:
        return (
            f"The initial weights are kept, with {best.validation:.2f} nats on the validation split: no epoch "
            "was better by it."
        )
    text = f"The weights of epoch {best.epoch}, the best by validation, are kept."
    if initial:
        text += (
            f"\nTheir validation is {best.validation:.2f} nats, and that of the initial weights is "
            f"{initial.validation:.2f} nats."
        )
    return text


def _optimisation(preset: Preset) -> str:
    how = "along a cosine"
    if preset.decay_share is not None:
        how = f"falling over the last {100 * preset.decay_share:.0f} % of the run"
    rate = f"learning rate {preset.learning_rate:g} {how} to {preset.learning_rate * FINAL_SHARE:g}"
    if preset.muon_rate:
        rate += f" (Muon's: {preset.muon_rate:g} to {preset.muon_rate * FINAL_SHARE:g})"
    parts = [f"{rate} after {preset.warmup_steps} steps of warm-up", f"gradients clipped at norm {preset.clip_norm:g}"]
    if preset.jitter:
        parts.append(f"rows with noise of {preset.jitter:.2g} of the data's spread")
    if preset.ema_decay:
        parts.append(f"weights averaged with decay {preset.ema_decay:g}")
    return ", ".join(parts)
