"""Activity in two dimensions by t-SNE, and how well classes stand apart in any number of them."""

from __future__ import annotations

import numpy as np

from neuroplast.errors import InputError

#: Rows of distances that are held at once.
ROWS = 1000


def tsne(activity, *, components: int = 50, perplexity: float = 30.0, seed: int = 0) -> np.ndarray:
    """Embed activity in two dimensions (t-SNE; van der Maaten & Hinton 2008) after a principal component analysis.

    Parameters
    ----------
    activity : array_like of shape (samples, units)
    components : int
        Principal components that are kept; all, if there are fewer.
    perplexity : float
        About the number of neighbours that a sample has; less than the samples.
    seed : int
        It begins with the first two components, so that little depends on it.

    Returns
    -------
    ndarray of shape (samples, 2)

    Raises
    ------
    InputError
        If scikit-learn is not installed (extra ``embedding``), for activity that is not finite or constant, or fewer
        samples than the perplexity asks for.
    """
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError as missing:
        raise InputError("t-SNE needs scikit-learn: pip install 'neuroplast[embedding]'") from missing
    activity = _finite(activity, "tsne")
    if not 0 < perplexity < len(activity):
        raise InputError(
            f"tsne: perplexity should be more than 0 and less than the number of samples, {len(activity)}. Got "
            f"{perplexity!r}."
        )
    reduced = principal(activity, components)
    if np.ptp(reduced) == 0:
        raise InputError(f"tsne: all {len(activity)} samples have the same activity, so that there is nothing to show.")
    begin = np.zeros((len(reduced), 2))
    begin[:, : reduced.shape[1]] = reduced[:, :2] * (1e-4 / reduced[:, 0].std())  # as small as scikit-learn begins
    method = TSNE(perplexity=perplexity, init=begin.astype(np.float32), random_state=seed)
    with threadpool_limits(1):  # the order of its sums, which decides where points go, is that of the threads
        return method.fit_transform(reduced)


def principal(activity, components: int) -> np.ndarray:
    """Scores on the first principal components, (samples, components), largest variance first.

    Of the two directions of a component, that in which the largest coefficient is positive.
    """
    activity = _finite(activity, "principal")
    centred = activity - activity.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :components]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return centred @ (axes * np.where(largest < 0, -1, 1))


def purity(points, labels, neighbours: int = 10) -> float:
    """Part of each sample's nearest neighbours that are of its class, averaged over samples.

    Parameters
    ----------
    points : array_like of shape (samples, dimensions)
        An embedding, or activity itself; distances are Euclidean.
    labels : array_like of shape (samples,)
    neighbours : int
        The sample itself does not count.

    Returns
    -------
    float
        1 where each sample lies among its own class; about the sum of the squared shares of the classes where
        classes are mixed, 0.1 for ten of the same size.

    Raises
    ------
    InputError
        For labels that do not fit, points that are not finite, or fewer samples than neighbours.
    """
    points, labels = _finite(points, "purity"), np.asarray(labels)
    if labels.shape != points.shape[:1]:
        raise InputError(
            f"purity: labels should have shape {points.shape[:1]}, one for each point. Got {labels.shape}."
        )
    if not 1 <= neighbours < len(points):
        raise InputError(
            f"purity: neighbours should be from 1 to {len(points) - 1}, the other samples. Got {neighbours!r}."
        )
    points = points - points.mean(axis=0)  # so that the squares below are no larger than they have to be
    squares, same = np.sum(points**2, axis=1), 0
    for begin in range(0, len(points), ROWS):
        rows = np.arange(begin, min(begin + ROWS, len(points)))
        distances = squares - 2 * points[rows] @ points.T  # squared, but for what is the same along a row
        distances[np.arange(len(rows)), rows] = np.inf
        nearest = np.argpartition(distances, neighbours - 1, axis=1)[:, :neighbours]
        same += np.sum(labels[nearest] == labels[rows, None])
    return float(same / (len(points) * neighbours))


def _finite(points, owner):
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or not np.isfinite(points).all():
        what = "finite numbers" if points.ndim == 2 else f"shape {points.shape}"
        raise InputError(f"{owner}: there should be finite numbers of shape (samples, dimensions). Got {what}.")
    return points
