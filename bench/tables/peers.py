"""Other detectors on the same splits. Runs in an environment of its own, which has PyOD and the tables.

    PYTHON -m bench.tables.peers FOLDER --splits N [--table NAME ...]

Writes the tables to FOLDER/tables.npz, and to FOLDER/peers.jsonl a line for each table and split. Lines of this code
that are there already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.tables import peers_code
from bench.tables.real_tables import NAMES, real_tables
from bench.tables.splits import Rows, auroc, split

Scorer = Callable[[Rows], npt.NDArray[np.float64]]
_LARGEST_SVM = 5000
"""Rows that a one-class SVM is fitted to at most: its time grows with their square."""


def detectors() -> dict[str, Callable[[Rows], Scorer]]:
    """For each peer, what fits it to rows and gives its score, higher for less ordinary rows. Standardised inputs."""
    from pyod.models.copod import COPOD
    from pyod.models.ecod import ECOD
    from pyod.models.hbos import HBOS
    from sklearn.ensemble import IsolationForest
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors
    from sklearn.svm import OneClassSVM

    def nearest(rows: Rows) -> Scorer:
        fitted = NearestNeighbors(n_neighbors=5).fit(rows)
        return lambda x: fitted.kneighbors(x)[0].mean(axis=1)

    def scoring(make: Callable[[Rows], object]) -> Callable[[Rows], Scorer]:
        def fit(rows: Rows) -> Scorer:
            fitted = make(rows)
            return lambda x: -fitted.score_samples(x)  # type: ignore[attr-defined]

        return fit

    def pyod(kind: Callable[[], object]) -> Callable[[Rows], Scorer]:
        def fit(rows: Rows) -> Scorer:
            fitted = kind().fit(rows)  # type: ignore[attr-defined]
            return lambda x: fitted.decision_function(x)

        return fit

    return {
        "kNN": nearest,
        "KDE": scoring(lambda rows: KernelDensity(bandwidth="scott").fit(rows)),
        "GMM": scoring(
            lambda rows: GaussianMixture(min(5, max(1, len(rows) // 20)), reg_covar=1e-3, random_state=0).fit(rows)
        ),
        "LOF": scoring(lambda rows: LocalOutlierFactor(min(20, len(rows) - 1), novelty=True).fit(rows)),
        "isolation forest": scoring(lambda rows: IsolationForest(random_state=0).fit(rows)),
        "one-class SVM": scoring(lambda rows: OneClassSVM(nu=0.1, gamma="scale").fit(rows[:_LARGEST_SVM])),
        "ECOD": pyod(ECOD),
        "COPOD": pyod(COPOD),
        "HBOS": pyod(HBOS),
    }


def measured(
    splits: int, names: tuple[str, ...], folder: Path, have: set[tuple[str, int]]
) -> Iterator[dict[str, object]]:
    """A line for each table and split not in ``have``: AUROC and seconds of every peer. The tables are saved first."""
    tables = list(real_tables(names))
    saved: dict[str, Rows] = dict(np.load(folder / "tables.npz")) if (folder / "tables.npz").is_file() else {}
    for table in tables:
        saved |= {f"{table.name}/ordinary": table.ordinary, f"{table.name}/anomalous": table.anomalous}
    np.savez_compressed(folder / "tables.npz", **saved)  # type: ignore[arg-type]  # the stub wants one of its flags
    for table in tables:
        for seed in range(splits):
            if (table.name, seed) in have:
                continue
            parts = split(table.ordinary, table.anomalous, seed)
            found: dict[str, float] = {}
            seconds: dict[str, float] = {}
            for name, fit in detectors().items():
                began = time.process_time()
                score = fit(parts.train)
                seconds[name] = time.process_time() - began
                scores = score(parts.test)  # together, since ECOD and COPOD also look at the rows that they score
                found[name] = auroc(scores[: len(parts.ordinary)], scores[len(parts.ordinary) :])
            yield {"table": table.name, "seed": seed, "auroc": found, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--table", action="append", choices=NAMES)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    kept = options.folder / "peers.jsonl"
    before = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.is_file() else []
    code = peers_code.present()
    have = {(line["table"], line["seed"]) for line in before if line.get("code", peers_code.BEFORE) == code}
    with kept.open("a", encoding="utf-8") as lines:
        for found in measured(options.splits, tuple(options.table or NAMES), options.folder, have):
            lines.write(json.dumps({**found, "code": code}) + "\n")
            lines.flush()


if __name__ == "__main__":
    main()
