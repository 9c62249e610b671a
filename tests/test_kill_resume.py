"""A real training, really killed: what a resumed run leaves equals what an unbroken one leaves, bit for bit."""

import random
import signal
import subprocess
import sys
import time

import xarray as xr

RUN = [sys.executable, "-m", "neuroplast.cli", "run", "rflo_periodic", "--seed", "3"]
SIZE = ["--set", "trials=1000", "--set", "nets=1", "--set", "periods=100*ms,400*ms"]


def command(folder, *more):
    return [*RUN, *SIZE, "--out", str(folder), *more]


def checkpoints(folder):
    return {path: path.read_bytes() for path in folder.glob("nets/*/checkpoint/*.json")}


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    subprocess.run(command(unbroken), check=True, capture_output=True)
    moments, kills, begun = random.Random(5), 0, {}
    while kills < 2:
        process = subprocess.Popen(command(broken, "--resume"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while process.poll() is None and checkpoints(broken) == begun:
            time.sleep(0.01)  # not before it has got further than the last time
        time.sleep(moments.uniform(0, 0.4))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills, begun = kills + 1, checkpoints(broken)
    assert kills, "the run ended before it could be killed"
    subprocess.run(command(broken, "--resume"), check=True, capture_output=True)
    with xr.open_dataset(unbroken / "results.nc") as one, xr.open_dataset(broken / "results.nc") as other:
        assert one.sizes["trial"] == 1000
        xr.testing.assert_identical(one, other)
    assert (unbroken / "results.nc").read_bytes() == (broken / "results.nc").read_bytes()
