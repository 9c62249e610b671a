"""Downloads of data sets into the user's cache, checked by their sha256."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from neuroplast.data.places import FOLDER, cache_folder
from neuroplast.data.unpacked import unwritable
from neuroplast.errors import InputError

TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 16


def fetch(known, console=None) -> Path:
    """Download what is missing or damaged of a data set's files in the user's cache.

    Parameters
    ----------
    known : neuroplast.data.sets.Known
    console : rich.console.Console, optional
        Where to show progress; by default nothing is shown.

    Returns
    -------
    folder : Path
        With the files.

    Raises
    ------
    InputError
        If no mirror has a file with the right sha256, or the user's cache cannot be written to. What was downloaded
        whole before stays.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    folder = cache_folder() / known.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # otherwise a folder without permission looks like a failed download
    except OSError as err:
        raise unwritable(folder, err) from err
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=console is None) as progress:
        for download in known.downloads:
            _fetch_file(known, download, folder, _Bar(progress, download))
    return folder


def _fetch_file(known, download, folder, bar):
    import pooch

    # pooch logs what it does as warnings of its own; the bar says it.
    logger, failures = pooch.get_logger(), []
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        for mirror in known.mirrors:
            bar.reset()
            loader = pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUT)
            try:
                pooch.retrieve(mirror + download.file, f"sha256:{download.sha256}", download.file, folder, None, loader)
                return
            except (OSError, ValueError) as err:  # of requests, files; of a wrong sha256
                if getattr(err, "errno", None) is not None and not _of_network(err):
                    raise unwritable(folder / download.file, err) from err
                failures.append(f"{mirror}: {_reason(err)}")
    finally:
        logger.setLevel(level)
    raise InputError(
        f"{known.name}: {download.file} could not be downloaded.\n  "
        + "\n  ".join(failures)
        + f"\nTry again later, or put the files into a folder {known.name} and name the folder above it in {FOLDER}."
        + (f" Debian's package {known.debian} has them too." if known.debian else "")
    )


def _of_network(err):
    import requests

    return isinstance(err, requests.RequestException)


def _reason(err):
    """The cause in one line: requests wraps what the network said several times, each with an address in memory."""
    import requests

    if isinstance(err, requests.HTTPError):
        return f"the server answered {err.response.status_code} {err.response.reason}"
    if isinstance(err, requests.Timeout):
        return f"no answer for {TIMEOUT} seconds"
    if isinstance(err, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(err, requests.ConnectionError):
        return "no connection (is there a network? a proxy goes into HTTPS_PROXY)"
    if isinstance(err, requests.RequestException):
        return f"{type(err).__name__}: {err}"
    return "what came has another sha256: it is damaged, or another version"


class _Bar:
    """Bar of a file, with the methods that pooch calls."""

    def __init__(self, progress, download):
        self._progress = progress
        self._task = progress.add_task(download.file, total=download.size)
        self.total = download.size

    def update(self, size):
        self._progress.update(self._task, advance=size)

    def reset(self):
        self._progress.update(self._task, completed=0)

    def close(self):
        """Nothing is held open."""
