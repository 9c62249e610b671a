"""Downloads, from a server on this machine: mirrors, checksums, connections that break off."""

import dataclasses
import gzip
import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from image_files import archive, cifar_files, idx_arrays, idx_files, small_sets  # noqa: F401

from neuroplast import data
from neuroplast.data import places, sets
from neuroplast.errors import InputError


class Server:
    """Serves files below `/good`, and worse below other folders; keeps what was asked."""

    def __init__(self, files):
        self.files, self.asked = files, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                _, how, name = self.path.split("/")
                content = outer.files.get(name)
                if how == "gone" or content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if how == "half":
                    self.wfile.write(content[: len(content) // 2])
                elif how == "other":
                    self.wfile.write(content[:-1] + bytes([content[-1] ^ 1]))
                else:
                    self.wfile.write(content)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def serve(small, monkeypatch):
    """Make the downloads of a data set those files, from mirrors that are good, gone, half or other."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = []

    def serving(name, files, mirrors):
        server = Server(dict(files))
        servers.append(server)
        downloads = tuple(
            sets.Download(key, len(text), hashlib.sha256(text).hexdigest()) for key, text in files.items()
        )
        addresses = tuple(mirror if ":" in mirror else f"{server.address}/{mirror}/" for mirror in mirrors)
        known = dataclasses.replace(sets.SETS[name], downloads=downloads, mirrors=addresses)
        monkeypatch.setitem(sets.SETS, name, known)
        return server

    yield serving
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def here(name="mnist"):
    folder = places.cache_folder() / name
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def refusal(name="mnist", ask=data.get):
    with pytest.raises(InputError) as caught:
        ask(name)
    assert caught.value.exit_code == 2
    return str(caught.value)


def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}/"


def test_gets_the_files(serve):
    files = idx_files("mnist")
    server = serve("mnist", files, ["good"])
    found = data.get("mnist")
    assert here() == sorted(files) and {path.name for path in found.values()} == set(files)
    assert {path.name: path.read_bytes() for path in found.values()} == files
    assert data.present("mnist") and len(server.asked) == 4
    np.testing.assert_array_equal(data.load("mnist").train, idx_arrays("mnist")["train"].reshape(-1, 784))
    data.get("mnist")  # checks, and asks for nothing
    assert len(server.asked) == 4


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_gets_an_archive(serve, name):
    file = sets.SETS[name].downloads[0].file
    serve(name, {file: archive(cifar_files(name))}, ["good"])
    assert not data.present(name)
    images = data.load(name, download=True)
    assert here(name) == [file] and images.shape == (3, 32, 32)
    assert images.source == str(places.cache_folder() / name)


@pytest.mark.parametrize("bad", ["gone", "half", "other"])
def test_takes_the_next_mirror(serve, bad):
    files = idx_files("mnist")
    server = serve("mnist", files, [bad, "good"])
    data.get("mnist")
    assert here() == sorted(files)
    assert sorted(server.asked) == sorted(f"/{how}/{name}" for name in files for how in (bad, "good"))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("gone", "the server answered 404"),
        ("half", "the connection broke off"),
        ("other", "what came has another sha256"),
    ],
)
def test_says_why_and_keeps_nothing(serve, bad, reason):
    server = serve("mnist", idx_files("mnist"), [bad])
    text = refusal()
    assert "mnist: train-images-idx3-ubyte.gz could not be downloaded" in text
    assert f"{server.address}/{bad}/: {reason}" in text and "NEUROPLAST_DATA" in text
    assert here() == [] and not data.present("mnist")


def test_no_network(serve):
    nowhere, nobody = closed_port(), closed_port()
    serve("fashion-mnist", idx_files("fashion-mnist"), [nowhere, nobody])
    text = refusal("fashion-mnist", lambda name: data.load(name, download=True))
    assert f"{nowhere}: no connection" in text and f"{nobody}: no connection" in text
    assert "Debian's package dataset-fashion-mnist" in text and "0x" not in text


def test_goes_on_where_it_stopped(serve):
    files = idx_files("mnist")
    server = serve("mnist", files, ["good"])
    last = list(files)[-1]
    kept = server.files.pop(last)
    assert last in refusal() and here() == sorted(set(files) - {last})
    server.files[last] = kept
    server.asked.clear()
    data.get("mnist")
    assert server.asked == [f"/good/{last}"] and data.present("mnist")


def test_replaces_what_was_damaged_here(serve):
    files = idx_files("mnist")
    server = serve("mnist", files, ["good"])
    data.get("mnist")
    name = list(files)[1]
    (places.cache_folder() / "mnist" / name).write_bytes(files[name][:-5])
    assert f"{name}: the compressed file ends too early" in refusal(ask=data.load)
    server.asked.clear()
    data.get("mnist")
    assert server.asked == [f"/good/{name}"] and data.load("mnist").rows == 30


def test_a_folder_of_the_user_is_left_alone(serve, small, monkeypatch):
    files = idx_files("mnist")
    server = serve("mnist", files, ["good"])
    monkeypatch.setenv("NEUROPLAST_DATA", str(small))
    (small / "mnist").mkdir()
    for name, content in files.items():
        (small / "mnist" / name).write_bytes(content)
    assert data.get("mnist")["train"] == small / "mnist" / "train-images-idx3-ubyte.gz"
    (small / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"something", mtime=0))
    assert "Replace it" in refusal()
    assert server.asked == [] and here() == []


def test_a_folder_that_was_given_is_not_filled(serve, small):
    server = serve("mnist", idx_files("mnist"), ["good"])
    with pytest.raises(InputError, match="Downloads go to the user's cache: leave folder out"):
        data.load("mnist", folder=small, download=True)
    assert server.asked == []


def test_a_cache_that_cannot_be_written(serve, small, monkeypatch):
    server = serve("mnist", idx_files("mnist"), ["good"])
    (small / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(small / "file"))
    assert "XDG_CACHE_HOME" in refusal() and server.asked == []


def test_a_full_disk_is_no_matter_of_the_network(serve, monkeypatch):
    server = serve("mnist", idx_files("mnist"), ["good", "good"])

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pooch.core.shutil.move", full)
    text = refusal()
    assert "cannot be written (No space left on device)" in text and "XDG_CACHE_HOME" in text
    assert len(server.asked) == 1 and here() == []
