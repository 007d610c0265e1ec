"""Image datasets that lie on this machine."""

from __future__ import annotations

import gzip
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as onp

from d2lblocks.errors import FormatError
from d2lblocks.gluon.data.dataset import Dataset
from d2lblocks.np.ndarray import wrap


def read_idx(path: Path) -> onp.ndarray:
    """Return the bytes of an IDX file (LeCun 1998), gzipped or not, in their shape."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as f:
        data = f.read()
    ndim = data[3] if len(data) > 3 and data[:3] == b"\0\0\x08" else 0
    shape = struct.unpack(f">{ndim}I", data[4 : 4 + 4 * ndim]) if len(data) >= 4 + 4 * ndim else ()
    if not shape or len(data) - 4 - 4 * ndim != math.prod(shape):
        raise FormatError(f"{path}: this is no IDX file of bytes, or it is cut off. Fetch it again.")
    return onp.frombuffer(data, onp.uint8, offset=4 + 4 * ndim).reshape(shape)


class MNIST(Dataset):
    """Handwritten digits: (28, 28, 1) images in uint8, labels 0 to 9 in int32.

    Raises:
        FileNotFoundError: the files are not in `root`; nothing is fetched over the network.
    """

    _root = "mnist"

    def __init__(self, root: str | os.PathLike | None = None, train: bool = True, transform: Callable | None = None):
        folder = Path(root or f"~/.mxnet/datasets/{self._root}").expanduser()
        part = "train" if train else "t10k"
        images, labels = (_there(folder, f"{part}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
        self._images = read_idx(images)[..., None]
        self._labels = wrap(read_idx(labels).astype(onp.int32))
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, i: Any) -> Any:
        image, label = wrap(self._images[i].copy()), self._labels[i]
        return (image, label) if self._transform is None else self._transform(image, label)


class FashionMNIST(MNIST):
    """Pictures of clothes in the format of MNIST (Xiao et al. 2017)."""

    _root = "fashion-mnist"


def _there(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            return path
    raise FileNotFoundError(2, f"The dataset is not here; put {name}.gz into the folder", str(folder))
