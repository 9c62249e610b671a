"""Figures: what is drawn is what was measured, and the files are whole and the same each time."""

import numpy as np
import pytest
from matplotlib import colors
from PIL import Image

from neuroplast import figures
from neuroplast.errors import InputError


@pytest.fixture
def ax():
    return figures.subplots()[1]


def test_the_median_lies_between_the_quartiles(ax):
    samples = np.array([[0.0, 10.0], [1.0, 20.0], [2.0, 30.0], [3.0, 40.0], [4.0, 50.0]])
    line = figures.median_quartile_curve(ax, [5, 6], samples, "loss")
    np.testing.assert_array_equal(line.get_xydata(), [[5, 2], [6, 30]])
    band = ax.collections[0].get_paths()[0].vertices
    assert set(band[band[:, 0] == 5, 1]) == {1, 3}
    assert set(band[band[:, 0] == 6, 1]) == {20, 40}
    assert line.get_label() == "loss"


def test_missing_values_are_left_out(ax):
    samples = [[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]]
    line = figures.median_quartile_curve(ax, [0, 1, 2], samples)
    np.testing.assert_array_equal(line.get_xydata(), [[0, 2], [1, 2]])


def test_targets_are_drawn_over_all_outputs(ax):
    t = [0, 1, 2]
    *outputs, target = figures.traces_with_targets(ax, t, [[1, 2, 3], [2, 3, 4]], [0, 1, 0], "output", color="red")
    assert [list(line.get_ydata()) for line in outputs] == [[1, 2, 3], [2, 3, 4]]
    assert {line.get_color() for line in outputs} == {"red"}
    assert list(target.get_ydata()) == [0, 1, 0] and target.get_linestyle() == "--"
    assert ax.get_legend_handles_labels()[1] == ["output", "target"]


def test_outputs_of_one_call_share_the_next_colour(ax):
    first = figures.traces_with_targets(ax, [0, 1], [[1, 2], [2, 3]], [0, 0])[:-1]
    second = figures.traces_with_targets(ax, [0, 1], [1, 2], [0, 0])[:-1]
    assert {line.get_color() for line in first} == {figures.COLOURS[0]}
    assert {line.get_color() for line in second} == {figures.COLOURS[1]}


def test_colours_stand_out_from_white_and_from_each_other():
    rgb = np.array([colors.to_rgb(colour) for colour in figures.COLOURS])
    assert len(set(figures.COLOURS)) == len(figures.COLOURS)
    luminance = rgb @ [0.2126, 0.7152, 0.0722]
    assert luminance.max() < 0.75


#: What colours look like, as linear RGB, without one kind of cone: Machado, Oliveira, Fernandes (2009).
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def cielab(rgb, blind=None):
    """CIELAB (D65) of sRGB colours as somebody sees them."""
    rgb = np.atleast_2d(rgb)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if blind:
        linear = (linear @ np.array(BLIND[blind]).T).clip(0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = np.cbrt((linear @ np.array(to_xyz).T / [0.95047, 1, 1.08883]).clip(0.008856)).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("blind", [None, *BLIND])
def test_colours_differ_for_every_kind_of_vision(blind):
    lab = cielab([colors.to_rgb(colour) for colour in figures.COLOURS], blind)
    distance = np.linalg.norm(lab[:, None] - lab, axis=2)
    assert distance[np.triu_indices(len(lab), 1)].min() > 10  # 2.3 can just be told apart
    low, _, high = cielab(figures.SIGNED([0.0, 0.5, 1.0])[:, :3], blind)
    assert np.linalg.norm(low - high) > 25


def test_signed_colours_are_even_and_alike_on_both_sides():
    lightness = cielab(np.array(figures.SIGNED.colors))[:, 0]
    middle = len(lightness) // 2
    assert lightness.argmax() == middle and lightness[middle] > 90
    np.testing.assert_allclose(lightness, lightness[::-1], atol=4)
    steps = np.abs(np.diff(lightness))
    assert steps.max() < 1.5 * steps.min()
    assert min(map(min, figures.SIGNED.colors)) > 0  # none was cut off at the edge of what a screen can show


def test_a_scale_is_symmetric_if_there_are_signs():
    both, positive = figures.scale([-1.0, np.nan], [3.0]), figures.scale([1.0, 3.0])
    assert (both["norm"].vmin, both["norm"].vmax) == (-3, 3) and both["cmap"] is figures.SIGNED
    assert (positive["norm"].vmin, positive["norm"].vmax) == (0, 3) and positive["cmap"] is figures.SEQUENTIAL
    assert figures.scale(np.zeros(3))["norm"].vmax > 0


def test_a_saved_figure_is_two_files_the_same_each_time(tmp_path):
    def draw(folder):
        folder.mkdir()
        fig, ax = figures.subplots(1, 2)
        ax[0].plot([0, 1], [1, 2], label="loss")
        ax[0].legend()
        return figures.save(fig, folder)

    first, second = draw(tmp_path / "a"), draw(tmp_path / "b")
    assert [path.name for path in first] == ["figure.png", "figure.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert ">loss</text>" in first[1].read_text()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="absent/figure.png: cannot be written"):
        figures.save(figures.subplots()[0], tmp_path / "absent")


def test_an_animation_is_written_whole(tmp_path):
    fig, ax = figures.subplots()
    (line,) = ax.plot([], [])
    frames = []

    def draw(frame):
        frames.append(frame)
        line.set_data([0, 1], [0, frame])
        return [line]

    path = figures.save_animation(figures.moving(fig, draw, 3), tmp_path)
    assert path.name == "animation.gif" and set(frames) == {0, 1, 2}
    assert [file.name for file in tmp_path.iterdir()] == ["animation.gif"]
    with Image.open(path) as image:
        assert image.n_frames == 3


def test_an_animation_needs_a_folder_that_can_be_written(tmp_path):
    fig, _ = figures.subplots()
    with pytest.raises(InputError, match="animation.gif: cannot be written"):
        figures.save_animation(figures.moving(fig, lambda frame: [], 1), tmp_path / "absent")
