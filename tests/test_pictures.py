"""Pictures of a run: what is drawn is what was recorded, said in words, with units."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from neuroplast import figures
from neuroplast.cli import app
from neuroplast.errors import InputError
from neuroplast.pictures import plot, raster, thinning, write
from neuroplast.pictures.choice import positions
from neuroplast.traces import Traces, write_dataset

DT, NEURONS, STEPS, TRIALS, SNAPSHOTS = 1e-3, 12, 40, 900, (0, 300, 600, 899)
RECORD = {
    "protocol": "toy",
    "seed": 3,
    "status": "done",
    "parameters": {"dt": {"value": "1*ms", "si": DT, "unit": "s", "doc": ""}},
}
CLAIM = {"name": "aligns", "paper": "towards 1", "measured": "0.8", "verdict": "holds", "values": {"alignment": 0.7}}


def of_a_net(seed, recorded=True):
    """Results of one net in the layout of its file: metrics, outputs of two tests and, aside, what was asked for."""
    rng = np.random.default_rng(seed)
    trial, metrics = np.arange(TRIALS), {"kind": "metrics", "long_name": "loss of the trial"}
    data = {
        "loss": ("trial", np.exp(-trial / 200) * rng.uniform(0.5, 1, TRIALS), metrics),
        "alignment": ("trial", np.tanh(trial / 300) - 0.1 * rng.random(TRIALS), {"kind": "metrics"}),
        "output": (("test", "step", "channel"), rng.normal(size=(1, STEPS, 1)), {"kind": "rates"}),
    }
    coords = {"trial": trial, "trial_time": ("trial", (trial + 1) * STEPS * DT), "test": [0], "step": np.arange(STEPS)}
    if recorded:
        name, dims = "units.h", ("units.h_trial", "units.h_time", "units.h_neuron")
        h = np.tanh(rng.normal(size=(2, STEPS, NEURONS)))
        data[name] = (dims, h, {"kind": "rates", "units": "mV", "time_step": DT, "aside": 1})
        coords |= {dims[0]: [0, TRIALS - 1], dims[1]: (np.arange(STEPS) + 1) * DT}
        name, dims = "recurrent.w", ("recurrent.w_trial", "recurrent.w_pre", "recurrent.w_post")
        w = rng.normal(size=(len(SNAPSHOTS), NEURONS, NEURONS - 2))
        data[name] = (dims, w, {"kind": "weights", "aside": 1})
        coords[dims[0]] = list(SNAPSHOTS)
        trials, steps, neurons = np.nonzero(rng.random((3, STEPS, NEURONS)) < 0.05)
        trials = np.array([5, 6, 8])[trials]
        attrs = {
            "kind": "spikes",
            "neurons": NEURONS,
            "time_step": DT,
            "map": "shifted: rate = 50*Hz",
            "refractory": 2e-3,
        }
        data["units.spikes"] = ("units.spikes_spike", neurons.astype(np.int32), attrs | {"aside": 1})
        coords["units.spikes_time"] = ("units.spikes_spike", (trials * STEPS + steps) * DT)
        coords["units.spikes_trial"] = ("units.spikes_spike", trials)
    return xr.Dataset(data, coords)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a run of two rules and three nets each; the nets of rflo recorded what was asked for."""
    folder, parts = tmp_path_factory.mktemp("runs") / "run", {}
    for number, (rule, net) in enumerate((rule, net) for rule in ("bptt", "rflo") for net in range(3)):
        own = folder / "nets" / f"{rule}-{net}"
        (own / "checkpoint").mkdir(parents=True)
        parts[rule, net] = of_a_net(number, recorded=rule == "rflo")
        write_dataset(parts[rule, net], own / "results.nc")
        (own / "checkpoint/pointer.json").write_text(json.dumps({"coords": {"rule": rule, "net": net}, "format": 1}))
    names = ["loss", "alignment", "output"]
    whole = [xr.concat([parts[rule, net][names] for net in range(3)], "net") for rule in ("bptt", "rflo")]
    whole = xr.concat(whole, xr.IndexVariable("rule", ["bptt", "rflo"])).isel(test=0, drop=True)
    whole = whole.assign(target=(("rule", "step"), np.arange(2 * STEPS).reshape(2, STEPS) / STEPS))
    write_dataset(whole, folder / "results.nc")
    (folder / "run.json").write_text(json.dumps(RECORD | {"claims": [CLAIM]}))
    return folder


@pytest.fixture
def traces(run):
    return Traces.load(run)


def words(fig):
    """All that is written in a figure."""
    return " ".join(text.get_text() for text in fig.findobj(lambda artist: hasattr(artist, "get_text")))


def meshes(fig):
    """Maps of a figure (not the colour bars' own) by the title of their panel."""
    found = {ax.get_title(): ax.collections[0] for ax in fig.axes if ax.get_title() and ax.collections}
    return {title: mesh for title, mesh in found.items() if hasattr(mesh, "get_cmap")}


def legend(fig):
    """Texts of all legends."""
    boxes = [ax.get_legend() for ax in fig.axes] + fig.legends
    return [text.get_text() for box in boxes if box for text in box.get_texts()]


def test_rates_are_those_of_the_first_and_the_last_trial(traces):
    fig, h = plot(traces, "rates"), of_a_net(3)["units.h"].values
    maps = meshes(fig)
    assert list(maps) == ["trial 0", f"trial {TRIALS - 1}"]
    for mesh, trial in zip(maps.values(), h, strict=True):
        np.testing.assert_array_equal(mesh.get_array(), trial.T)
        assert mesh.norm.vmin == -mesh.norm.vmax == -np.abs(h).max() and mesh.get_cmap() is figures.SIGNED
    lines = [ax.get_lines() for ax in fig.axes if ax.get_lines()]
    assert legend(fig) == ["neuron 0", "neuron 5", "neuron 11"]
    for column, trial in zip(lines, h, strict=True):
        np.testing.assert_allclose([line.get_ydata() for line in column], trial[:, [0, 5, 11]].T)
        np.testing.assert_allclose(column[0].get_xdata(), np.arange(1, STEPS + 1))
    for text in ("toy, seed 3: units.h", "units.h (mV)", "time in the trial (ms)", "Net rflo-0 (number 4 of 6)"):
        assert text in words(fig)


def test_a_net_and_trials_can_be_chosen(traces):
    fig = plot(traces, "rates", net="rflo-2", trials=[-1])
    (mesh,) = meshes(fig).values()
    np.testing.assert_array_equal(mesh.get_array(), of_a_net(5)["units.h"].values[1].T)
    assert "Net rflo-2." in words(fig) and "1 of the 2 recorded trials" in words(fig)


def test_a_net_of_its_own_folder(run):
    fig = plot(Traces.load(run / "nets/rflo-1"), "rates", trials=[0])
    (mesh,) = meshes(fig).values()
    np.testing.assert_array_equal(mesh.get_array(), of_a_net(4)["units.h"].values[0].T)


def test_outputs_have_their_target(traces):
    fig = plot(traces, "rates", variable="output", net="rflo-1")
    output, target = next(ax for ax in fig.axes if ax.get_lines()).get_lines()
    np.testing.assert_allclose(output.get_ydata(), of_a_net(4).output.values[0, :, 0])
    np.testing.assert_allclose(target.get_ydata(), traces.dataset.target.sel(rule="rflo"))
    np.testing.assert_allclose(target.get_xdata(), np.arange(1, STEPS + 1))
    assert legend(fig) == ["channel 0", "target"] and "output (dimensionless)" in words(fig)


def test_rates_without_a_sign_have_an_even_map():
    data = {
        "r": (("r_trial", "r_time", "r_neuron"), np.arange(36.0).reshape(1, 4, 9), {"kind": "rates", "units": "Hz"})
    }
    (mesh,) = meshes(plot(Traces(xr.Dataset(data, {"r_trial": [0], "r_time": [1.0, 2, 3, 4]})), "rates")).values()
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, 35) and mesh.get_cmap() is figures.SEQUENTIAL


def test_spikes_and_the_rate_of_the_population(traces):
    fig = plot(traces, "raster", trials=[5, 6, 8])
    spikes = traces.nets["rflo-0"].spikes["units"]
    above, below = np.array(fig.axes[:4]).reshape(2, 2)
    assert [ax.get_title() for ax in above] == ["trials 5 to 6", "trial 8"]
    for ax, trials, begin in ((above[0], (5, 6), 5), (above[1], (8,), 8)):
        here = spikes.isel(spike=np.isin(spikes.trial, trials))
        points = ax.collections[0].get_offsets()
        np.testing.assert_allclose(points[:, 0], (here.time - begin * STEPS * DT) * 1000, atol=1e-9)
        np.testing.assert_array_equal(points[:, 1], here.neuron)
    for ax, trials in zip(below, ((5, 6), (8,)), strict=True):
        rate, edges, _ = ax.patches[0].get_data()
        assert (rate * np.diff(edges) / 1000).sum() * NEURONS == pytest.approx(np.isin(spikes.trial, trials).sum())
    assert [line.get_xdata()[0] for line in above[0].get_lines()] == pytest.approx([STEPS])
    fig = plot(traces, "raster", trials=[8])
    rate, edges, _ = fig.axes[1].patches[0].get_data()
    assert (edges[0], edges[-1]) == pytest.approx((-0.5, STEPS - 0.5))  # spikes lie on steps, edges between them
    for text in ("rate (Hz)", "shifted: rate = 50*Hz", "Refractory period 2 ms", "time in the trial (ms)"):
        assert text in words(fig)


def test_too_many_spikes_are_counted(traces, monkeypatch):
    monkeypatch.setattr(raster, "MOST_MARKS", 3)
    fig = plot(traces, "raster", trials=[5])
    (mesh,) = meshes(fig).values()
    bins = STEPS * DT / mesh.get_array().shape[1]
    assert mesh.get_array().sum() * bins == pytest.approx((traces.nets["rflo-0"].spikes["units"].trial == 5).sum())
    assert "spikes: rate (Hz)" in words(fig)


def test_weights_and_what_changed(traces):
    fig, w = plot(traces, "weights"), of_a_net(3)["recurrent.w"].values
    maps = meshes(fig)
    assert list(maps) == ["after trial 0", "after trial 899", "difference"]
    for mesh, matrix in zip(maps.values(), (w[0], w[-1], w[-1] - w[0]), strict=True):
        np.testing.assert_allclose(mesh.get_array(), matrix.T)  # rows are postsynaptic, as in W h
        assert mesh.norm.vmin == -mesh.norm.vmax == -np.abs([w[0], w[-1], w[-1] - w[0]]).max()
    change = next(line for ax in fig.axes for line in ax.get_lines())
    norms = [np.linalg.norm(one - w[0]) / np.linalg.norm(w[0]) for one in w]
    np.testing.assert_allclose(change.get_xydata(), np.stack([SNAPSHOTS, norms], 1))
    steps = [patch.get_data() for ax in fig.axes for patch in ax.patches if hasattr(patch, "get_data")]
    assert [step.values.sum() for step in steps] == [w[0].size] * 2
    assert legend(fig) == ["after trial 0", "after trial 899"]
    for text in ("recurrent.w (dimensionless)", "presynaptic neuron", "postsynaptic neuron", "relative to the weights"):
        assert text in words(fig)


def test_loss_is_summarised_over_nets_and_trials(traces):
    fig = plot(traces, "loss")
    (ax,) = fig.axes
    assert ax.get_yscale() == "log" and legend(fig) == ["BPTT", "RFLO"]
    loss = traces.metrics["loss"].sel(rule="rflo").values.reshape(3, -1, 3)  # nets, bins, trials of a bin
    low, middle, high = np.percentile(loss, (25, 50, 75), axis=(0, 2))
    np.testing.assert_allclose(ax.get_lines()[1].get_xydata(), np.stack([np.arange(1, 900, 3), middle], 1))
    band = ax.collections[1].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((low.min(), high.max()))
    for text in ("loss (dimensionless)", "trial", "median and quartiles over 3 nets and 3 trials"):
        assert text in words(fig)


def test_loss_of_one_net_keeps_its_extremes(traces):
    fig = plot(traces, "loss", net="bptt-1")
    band = fig.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    loss = of_a_net(1).loss
    assert (band.min(), band.max()) == (loss.min(), loss.max())
    assert "median and range of 3 trials" in words(fig)


def test_alignment_has_zero_the_angle_and_the_claimed_value(traces):
    fig = plot(traces, "alignment")
    (ax,) = fig.axes
    levels = [line.get_ydata()[0] for line in ax.get_lines() if len(line.get_ydata()) == 2]
    assert sorted(levels) == [0, 0.7] and ax.get_ylim() == (-1, 1)
    fig.canvas.draw()
    (angle,) = ax.child_axes
    assert angle.get_ylabel() == "angle (°)"
    for degrees, cosine in ((0, 1), (60, 0.5), (90, 0), (180, -1)):
        height = ax.transData.transform((0, cosine))[1]
        assert angle.transData.transform((0, degrees))[1] == pytest.approx(height)
    assert legend(fig) == ["BPTT", "RFLO", "claim: 0.7"] and "Claim (0.7): aligns. Paper: towards 1." in words(fig)


def test_other_coordinates_have_panels():
    values = np.full((2, 3, 4, 10), 1.0)
    values[1, 2] = np.nan  # this combination was not trained
    values[0, 1, 0] = np.inf  # this net diverged
    dims, coords = ("rule", "size", "net", "trial"), {"rule": ["a", "b"], "size": [10, 20, 30], "trial": range(10)}
    fig = plot(Traces(xr.Dataset({"loss": (dims, values, {"kind": "metrics"})}, coords)), "loss")
    assert [ax.get_title() for ax in fig.axes] == ["size = 10", "size = 20", "size = 30"]
    assert [len(ax.get_lines()) for ax in fig.axes] == [2, 2, 1]
    assert all((line.get_ydata() == 1).all() for ax in fig.axes for line in ax.get_lines())
    assert "Nets that diverged count as infinite." in words(fig)


def test_a_loss_that_grows_is_not_cut_off():
    loss = xr.DataArray(10.0 ** np.arange(0, 200, 10), dims="trial", attrs={"kind": "metrics"})
    (line,) = plot(Traces(xr.Dataset({"loss": loss})), "loss").axes[0].get_lines()
    np.testing.assert_array_equal(line.get_ydata(), loss)


def test_the_name_of_a_group_is_enough(traces):
    fig = plot(traces, "weights", variable="recurrent")
    assert "toy, seed 3: recurrent.w" in words(fig) and "toy, seed 3: units.spikes" in words(
        plot(traces, "raster", variable="units")
    )


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("rates", {"net": "bptt-0", "variable": "units.h"}, "units.h.*There are: output"),
        ("weights", {"net": "bptt-0"}, "No weights were recorded.*run toy --record recurrent.w.*rates: output"),
        ("raster", {"net": "bptt-0"}, "No spikes were recorded.*--record units.spikes.*metrics: loss, alignment"),
        ("raster", {"trials": [7]}, "trial 7 was not recorded. Recorded were: 5, 6, 8"),
        ("rates", {"net": "rflo-9"}, "rflo-9: is no net of this run. There are: bptt-0, .*rflo-2"),
        ("rates", {"trials": [0, 899, 4]}, "trial 4 was not recorded. Recorded were: 0, 899"),
        ("weights", {"trials": [0, 300, 600]}, "two snapshots"),
        ("loss", {"variable": "accuracy"}, "accuracy.*loss"),
        ("loss", {"trials": [0]}, "over all trials"),
        ("histogram", {}, "no picture called 'histogram'. There are: rates, raster"),
    ],
)
def test_what_cannot_be_drawn_is_said(traces, kind, options, words):
    with pytest.raises(InputError, match=words):
        plot(traces, kind, **options)


def test_trials_count_from_the_end_too():
    assert positions([0, 10, 20], None) == [0, 2] and positions([4], None) == [0]
    assert positions([0, 10, 20], [-1, 20, 10]) == [2, 1]
    with pytest.raises(InputError, match=r"trial -4 .*0, 10, 20"):
        positions([0, 10, 20], [-4])


def test_a_line_through_the_extremes_keeps_a_spike():
    values = np.zeros(1000)
    values[777], values[10] = 5.0, np.nan
    kept = thinning.extremes(values, 100)
    assert 777 in kept and len(kept) <= 20 and (np.diff(kept) > 0).all()
    assert list(thinning.extremes(values[:3], 1)) == [0, 1, 2]


def test_means_leave_out_what_is_missing():
    np.testing.assert_allclose(thinning.means(np.array([1.0, 3, np.nan, 5, 7]), 2), [2, 5, 7])
    np.testing.assert_allclose(thinning.means(np.arange(6.0).reshape(2, 3), 2, axis=1), [[0.5, 2], [3.5, 5]])


def test_long_rates_are_read_in_pieces(monkeypatch):
    values = np.random.default_rng(0).normal(size=(5000, 4))
    array = xr.DataArray(values, dims=("time", "neuron"))
    image, sizes, lines = thinning.in_pieces(array, "time", [2])
    read = []

    def isel(self, indexers):
        read.append(indexers["time"].stop - indexers["time"].start)
        return SimpleNamespace(values=values[indexers["time"]])

    monkeypatch.setattr(thinning, "PIECE", 1000)
    monkeypatch.setattr(xr.DataArray, "isel", isel)
    again, _, lines_again = thinning.in_pieces(array, "time", [2])
    np.testing.assert_array_equal(again, image)
    np.testing.assert_array_equal(lines_again[0], lines[0])
    assert sizes == (9, 1) and max(read) * 4 <= 1000 and sum(read) >= 5000
    np.testing.assert_allclose(image[:, 1], values[9:18].mean(axis=0))
    assert values[:, 2].max() in lines[0][1] and values[:, 2].min() in lines[0][1]


def test_the_command_writes_both_files(run):
    call = CliRunner().invoke(app, ["show", str(run), "--plot", "loss"])
    assert call.exit_code == 0, call.output
    assert call.output.split() == [str(run / "plot-loss.png"), str(run / "plot-loss.svg")]
    assert "median and quartiles" in (run / "plot-loss.svg").read_text()


def test_the_command_takes_what_to_draw(run, tmp_path):
    options = ["--net", "rflo-1", "--variable", "units.h", "--trials", "0,-1", "--out", str(tmp_path / "a/b")]
    call = CliRunner().invoke(app, ["show", str(run), "--plot", "rates", *options])
    assert call.exit_code == 0 and (tmp_path / "a/b/plot-rates.png").exists()
    assert "Net rflo-1." in (tmp_path / "a/b/plot-rates.svg").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--plot", "histogram"], "There are: rates, raster, weights, loss, alignment"),
        (["--plot", "rates", "--trials", "first"], "--trials should be numbers such as 0,-1. Got 'first'"),
        (["--plot", "loss", "--out", "/dev/null/x"], "/dev/null/x: cannot be made"),
        (["--net", "rflo-1"], "give --plot too"),
    ],
)
def test_bad_options_are_one_message(run, options, words):
    call = CliRunner().invoke(app, ["show", str(run), *options])
    assert call.exit_code == 2 and words in call.stderr and "Traceback" not in call.stderr


def test_show_lists_what_was_recorded(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    for folder, texts in (
        (run, ("rule 2 × net 3 × trial 900", "6 nets", "bptt-0", "loss")),
        (run / "nets/rflo-0", ("trial 2 × time 40 × neuron 12", "mV", "7.68 kB", "spikes", "toy")),
    ):
        call = CliRunner().invoke(app, ["show", str(folder)])
        assert call.exit_code == 0, call.output
        assert all(text in call.output for text in texts), call.output


def test_a_folder_that_cannot_be_written(traces):
    with pytest.raises(InputError, match="/dev/null/x: cannot be made"):
        write(traces, "loss", "/dev/null/x")
