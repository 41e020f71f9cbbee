"""Data sets in MNIST's file format: MNIST, Fashion-MNIST and KMNIST."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from trainer.data import files, idx
from trainer.errors import DataError

_TRAIN, _TEST = "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"


@dataclass(frozen=True)
class IdxImages:
    """Grey images (H, W) uint8 from two gzipped idx files, which are checked by their md5."""

    name: str
    title: str
    licence: str
    url: str
    train_md5: str
    test_md5: str

    def read(self, data_dir: Path | None) -> tuple[Tensor, Tensor]:
        return self._images(_TRAIN, self.train_md5, data_dir), self._images(_TEST, self.test_md5, data_dir)

    def _images(self, file: str, md5: str, data_dir: Path | None) -> Tensor:
        path = files.obtain(self.url + file, f"md5:{md5}", self.name, data_dir)
        images = idx.read(path)
        if images.ndim != 3:
            raise DataError(f"{path}: not images: its shape is {tuple(images.shape)}, not (N, H, W)")
        return images


MNIST = IdxImages(
    name="mnist",
    title="MNIST",
    licence="Y. LeCun and C. Cortes; commonly stated as CC BY-SA 3.0",
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    train_md5="f68b3c2dcbeaaa9fbdd348bbdeb94873",
    test_md5="9fb629c4189551a2d022fa330f9573f3",
)
FASHION_MNIST = IdxImages(
    name="fashion-mnist",
    title="Fashion-MNIST",
    licence="Zalando SE; MIT",
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    train_md5="8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    test_md5="bef4ecab320f06d8554ea6380940ec79",
)
KMNIST = IdxImages(
    name="kmnist",
    title="Kuzushiji-MNIST",
    licence="KMNIST Dataset (created by CODH), adapted from the Kuzushiji Dataset (created by NIJL and others), "
    "doi:10.20676/00000341; CC BY-SA 4.0",
    url="http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    train_md5="bdb82020997e1d708af4cf47b453dcf7",
    test_md5="5c965bf0a639b31b8f53240b1b52f4d7",
)
