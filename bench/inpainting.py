"""How good inpainting is: ten masks, every method, beside mean fill and the nearest neighbour.

    .venv/bin/python -m bench.inpainting --data-dir DIR [--model NAME] [--picture inpainting.png] [--into PAGE]

DIR holds the data that the model was trained on, with labels, as their official idx files: mnist/, fashion-mnist/.
Prints Markdown, and draws a picture where one is wanted. Everything is seeded; how threads share a sum moves last
digits all the same. Figures are of 8-bit pictures, as a user gets them, on their hidden pixels, by the flow that a
service would use here: nets compute in bfloat16 where the model allows it and the machine is fast at it. How fast it
is, ``bench.inpainting_speed`` tells.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bench import inpainting_picture, page
from bench.inpainting_classifier import agreement, train_classifier
from bench.inpainting_masks import masks
from bench.inpainting_metrics import diversity, mean_over, psnr, ssim
from flows import Flow, inpainting, noise
from flows.inpainting import METHODS, Climb, Survey
from flows.nets.precision import multiplies_bfloat16
from model_store import Store, default_root
from trainer.data import idx

SEVERAL = 8
CHANCE = ("ascent", "langevin")
"""The methods whose completions of one picture differ."""
PICTURED = ("bottom", "right", "random 75%")

Column = dict[str, float]
"""A figure for each way of filling in, under one mask."""


def climb(flow: Flow, survey: Survey, x: Tensor, hidden: Tensor, keys: Tensor, method: str, steps: int) -> Climb:
    rows = inpainting.start(flow, x, hidden, keys, survey=survey, method=method, steps=steps)
    while not bool(rows.done.all()):
        rows = inpainting.step(flow, rows)
    return rows


def nearest(train: Tensor, images: Tensor, hidden: Tensor) -> Tensor:
    """The training picture (B, H, W) uint8 nearest to each picture (B, H, W) uint8 in its known pixels."""
    known = (~hidden).float().flatten(1)
    flat, pictures = images.float().flatten(1), train.float().flatten(1)
    # |k (x - t)|^2 without the term that is the same for every t.
    distance = known @ pictures.square().T - 2 * (known * flat) @ pictures.T
    return train[distance.argmin(dim=1)]


class Measurement:
    """One model on one set of pictures: four figures for each mask and way of filling in."""

    def __init__(
        self,
        flow: Flow,
        survey: Survey,
        train: Tensor,
        images: Tensor,
        labels: Tensor,
        net: nn.Module,
        steps: int,
        methods: Sequence[str],
    ) -> None:
        self.survey = survey
        self.flow, self.train, self.images, self.labels, self.net = flow, train, images, labels, net
        self.steps, self.methods = steps, methods
        self.x = flow.to_continuous(images)
        self.truth = flow.log_prob(self.x)
        self.mean = train.float().mean(dim=0).round().to(torch.uint8)
        self.tables: dict[str, dict[str, Column]] = {
            "PSNR on the hidden pixels, dB": {},
            "SSIM on the hidden pixels": {},
            "Log-likelihood of the completion, nats (mean)": {},
            "Share of completions at least as likely as the truth": {},
            "Share that the classifier gives the right label": {},
        }

    def mask(self, name: str, hidden: Tensor) -> None:
        """Every way of filling in under one mask (B, H, W), into the tables."""
        columns: list[Column] = [{} for _ in self.tables]

        def note(way: str, items: Tensor, log_prob: Tensor) -> None:
            completed = torch.where(hidden, items, self.images)
            scaled, truth = completed.float() / 255, self.images.float() / 255
            figures: tuple[Tensor | float, ...] = (
                psnr(scaled, truth, hidden).mean(),
                ssim(scaled, truth, hidden).mean(),
                log_prob.mean(),
                (log_prob >= self.truth).double().mean(),
                agreement(self.net, completed, self.labels),
            )
            for column, figure in zip(columns, figures, strict=True):
                column[way] = float(figure)

        note("truth", self.images, self.truth)
        for way, items in (
            ("mean fill", self.mean.expand_as(self.images)),
            ("nearest neighbour", nearest(self.train, self.images, hidden)),
        ):
            filled = torch.where(hidden, self.flow.to_continuous(items), self.x)
            note(way, items, self.flow.log_prob(filled))
        keys = noise.keys(0, len(self.x))
        for method in self.methods:
            rows = climb(self.flow, self.survey, self.x, hidden, keys, method, self.steps)
            answer = rows.log_prob if rows.samples else rows.best_log_prob
            note(method, self.flow.to_items(rows.result()), answer)
            if method == "nice":
                note("nice, where it ends", self.flow.to_items(rows.x), rows.log_prob)
        for table, column in zip(self.tables.values(), columns, strict=True):
            table[name] = column

    def several(self, name: str, hidden: Tensor, count: int) -> Iterator[str]:
        """Best of 8 and diversity on the first ``count`` pictures, a line a method."""
        x, hidden, images = self.x[:count], hidden[:count], self.images[:count]
        for method in (name for name in CHANCE if name in self.methods):
            keys = noise.keys(1, SEVERAL * count)
            copies = x.repeat(SEVERAL, 1, 1), hidden.repeat(SEVERAL, 1, 1)
            rows = climb(self.flow, self.survey, *copies, keys, method, self.steps)
            answer = rows.log_prob if rows.samples else rows.best_log_prob
            items = self.flow.to_items(rows.result()).reshape(SEVERAL, *images.shape)
            scaled, truth = items.float() / 255, images.float() / 255
            near = torch.stack([psnr(one, truth, hidden) for one in scaled])
            likeliest = answer.reshape(SEVERAL, count).argmax(dim=0)
            average = mean_over(hidden, (scaled.mean(dim=0) - truth).square())
            figures = [
                float(near.mean()),
                float(near.gather(0, likeliest[None]).mean()),
                float(near.amax(dim=0).mean()),
                float((-10 * average.log10()).mean()),
            ]
            cells = " | ".join(f"{figure:.2f}" for figure in figures)
            accepted = f"{float(rows.acceptance.mean()):.2f}" if bool((rows.proposed > 0).any()) else "-"
            yield f"| {name} | {method} | {cells} | {float(diversity(scaled, hidden).mean()):.3f} | {accepted} |"


def report(measured: Measurement, hidden: Mapping[str, Tensor], count: int) -> Iterator[str]:
    """All tables; ``count`` pictures get several completions each."""
    for name, mask in hidden.items():
        measured.mask(name, mask)
        # The larger models take an hour, and a column of the tables can be printed only with the others.
        column = {title: table[name] for title, table in measured.tables.items()}
        print(f"{time.strftime('%H:%M:%S')} {name}: {json.dumps(column)}", file=sys.stderr, flush=True)
    for (title, table), digits in zip(measured.tables.items(), (2, 3, 0, 2, 2), strict=True):
        yield from _table(title, table, digits)
    if "ascent" in measured.methods:
        yield from _verdict(measured.tables)
    if any(method in measured.methods for method in CHANCE):
        yield f"\n#### {SEVERAL} completions of each of {count} pictures\n"
        yield "PSNR in dB: of one, of the likeliest, of the one nearest to the truth, of their mean; their deviation.\n"
        yield "| mask | method | one | likeliest | nearest | mean | diversity | acceptance |"
        yield "|---|---|---|---|---|---|---|---|"
        for name, mask in hidden.items():
            yield from measured.several(name, mask, count)


def _table(title: str, table: Mapping[str, Column], digits: int) -> Iterator[str]:
    # The truth is at no distance from itself: it belongs in the tables of what else can be said of it.
    measures_distance = title.startswith(("PSNR", "SSIM"))
    ways = [way for way in next(iter(table.values())) if not (measures_distance and way == "truth")]
    yield f"\n#### {title}\n\n| | {' | '.join(table)} |\n|---|{'---|' * len(table)}"
    for way in ways:
        yield f"| {way} | " + " | ".join(f"{column[way]:,.{digits}f}" for column in table.values()) + " |"


def _verdict(tables: Mapping[str, Mapping[str, Column]]) -> Iterator[str]:
    """How many masks the default wins, and on how many its mean likelihood reaches the truth's."""
    ratio, _, likelihood, *_ = tables.values()
    won = [m for m, c in ratio.items() if c["ascent"] > max(c["mean fill"], c["nearest neighbour"])]
    risen = [m for m, c in likelihood.items() if c["ascent"] >= c["truth"]]
    yield f"\n`ascent` beats both baselines in PSNR on {len(won)} of {len(ratio)} masks ({', '.join(won)}),"
    yield f"and ends at a mean log-likelihood no lower than the truth's on {len(risen)} of {len(likelihood)}."


def picture(
    flow: Flow,
    survey: Survey,
    images: Tensor,
    hidden: Mapping[str, Tensor],
    steps: int,
    path: Path,
    lines: int = 4,
) -> None:
    rows: dict[str, list[inpainting_picture.Row]] = {}
    for name in PICTURED:
        rows[name] = []
        for line in range(lines):
            item, mask = images[line : line + 1], hidden[name][line : line + 1]
            x = flow.to_continuous(item).expand(4, -1, -1)
            done = climb(flow, survey, x, mask.expand(4, -1, -1), noise.keys(line, 4), "ascent", steps)
            rows[name].append((item[0], mask[0], flow.to_items(done.result())))
    inpainting_picture.draw(rows, path)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=default_root())
    parser.add_argument("--model", default="mnist-nice", help="name, name@version or name@alias")
    parser.add_argument("--pictures", type=int, default=100, help="test pictures under each mask")
    parser.add_argument("--several", type=int, default=25, help="pictures that get eight completions each")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--picture", type=Path, help="where to draw some completions by ascent")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()

    store = Store(options.store)
    model = store.load(*store.resolve(options.model), bfloat16=multiplies_bfloat16(torch.device("cpu")))
    flow = model.serving
    folder = options.data_dir / str(model.manifest.provenance["data"])
    train, train_labels, test, labels = (
        idx.read(folder / f"{part}-ubyte.gz")
        for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    )
    with torch.enable_grad():
        net = train_classifier(train, train_labels)
    images = test[: options.pictures]
    hidden = masks(len(images), *flow.item_shape)

    head = [
        f"{model.reference}: {len(images)} test pictures, {options.steps} steps, nets in {model.precision}.",
        f"The classifier knows {agreement(net, test, labels):.2%} of the {len(test):,} test pictures.",
    ]
    measured = Measurement(
        flow, model.survey, train, images, labels[: options.pictures], net, options.steps, options.methods
    )
    lines = []
    for line in itertools.chain(head, report(measured, hidden, options.several)):
        print(line, flush=True)  # an error does not lose what was measured before it
        lines.append(line)
    if options.into:
        page.write_into(options.into, f"make bench-inpainting: {options.model}", "\n".join(lines))
    if options.picture:
        picture(flow, model.survey, images, hidden, options.steps, options.picture)


if __name__ == "__main__":
    main()
