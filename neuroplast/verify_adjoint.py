"""Adjoint propagation against runs of the authors' code."""

from __future__ import annotations

import numpy as np

#: Names of merged roles by the authors' number of groups.
MERGED = {4: "none", 1: "all", 2: "receivers/senders of a kind", -2: "crossed"}


def chained(vectors, target, deviation):
    """Outputs, states and displacements of each batch, and all weights after it.

    Parameters
    ----------
    vectors : dict of str to array
    target : {"cpp", "numpy"}
    deviation : callable
        ``deviation(found, expected)``.

    Returns
    -------
    deviations : dict of str to float
    detail : str
    """
    from brian2 import ms

    from neuroplast.data import Images
    from neuroplast.models import adjoint as model

    L, (batches, size, _) = int(vectors["L"]), vectors["X"].shape
    features, labels = np.concatenate(vectors["X"]), np.concatenate(vectors["Y"]).argmax(axis=1)
    images = Images("reference", features, labels, features, labels, vectors["Y"].shape[2], (1, 1, features.shape[1]))
    learns_recurrent, learn_bias = bool(vectors["learn_rec"]), bool(vectors["learn_bias"])
    parameters = model.Parameters(
        modules=L, block=int(vectors["n_block"]), merged=MERGED[int(vectors["n_NU"])], batch=size,
        eta=float(vectors["eta"]), optimiser="adam" if vectors["adam"] else "sgd", beta=float(vectors["beta"]),
        alpha=float(vectors["alpha_rec"]) if learns_recurrent else 0.0, learn_bias=learn_bias, epe=bool(vectors["EPE"]),
        inference=int(vectors["te1"]) * 10 * ms, learning=int(vectors["te2"]) * 10 * ms, shuffle=False,
    )  # fmt: skip
    made = model.build(parameters, images, target=target, dtype="float64")
    ours = {"WinX": "w_in.w", "W_f": "w_out.w", "Wb_f": "e_out.f"}
    ours |= {f"Win{i}": f"w{i + 1}.w" for i in range(L - 1)} | {f"Wb{i}": f"e{i + 1}.f" for i in range(L - 1)}
    ours |= {f"Wr{i}": f"rec_module{i + 1}.w" for i in range(L)}
    if learn_bias:
        ours |= {"bias_f": "bias_outputs.w"} | {f"bias_rnn{i}": f"bias_module{i + 1}.w" for i in range(L)}
    state = made.initial() | {name: vectors[f"init_{theirs}"] for theirs, name in ours.items()}
    state["outputs.bias"] = np.repeat(vectors["init_bias_f"], size)
    counts, deviations, events = made.counts(1), {}, 3 + 4 * L
    for batch in range(batches):
        start = batch * events
        state = made.simulation.run(state, start=start, stop=start + events, counts=counts).state
        results = {"out": state["outputs.p"], "e_out": state["outputs.err"]}
        for i in range(L):
            z, y = state[f"module{i + 1}.z_0"], state[f"module{i + 1}.z"]
            results |= {f"z{i}": z, f"y{i}": y, f"e{i}": z - y}
        for name, values in results.items():
            deviations[f"{name} of batch {batch + 1}"] = deviation(
                values.reshape(-1, size).T, vectors[f"k{batch}_{name}"]
            )
        for theirs, name in ours.items():
            expected = vectors[f"after{batch + 1}_{theirs}"]
            deviations[f"{theirs} after batch {batch + 1}"] = deviation(state[name].reshape(expected.shape), expected)
    errors = "EPE" if parameters.epe else "STE"
    return deviations, f"{L} modules, {errors}: outputs, states, displacements, weights of {batches} batches"


def _gabor(vectors, target, deviation):
    from neuroplast.data.gabor import gabor

    # The authors' patches are rounded to single precision.
    found = {name: gabor(float(name.removeprefix("img_"))) for name in vectors}
    return {name: deviation(values, vectors[name]) for name, values in found.items()}, "patches of four tilts"


def _lyapunov(vectors, target, deviation):
    from neuroplast.analysis.lyapunov import growth

    names = [name for name in vectors if name.startswith("r_sr")]
    found = {
        name: growth(
            float(name.removeprefix("r_sr")) * vectors["W_sr1"], vectors["c"], vectors["p0"], len(vectors[name])
        )
        for name in names
    }
    return {name: deviation(found[name], vectors[name]) for name in names}, "growth per step at four spectral radii"


def _shared(vectors, target, deviation):
    """Figure 5's networks: outputs, displacements and weights after each batch of both tasks."""
    from brian2 import ms

    from neuroplast.data import Images
    from neuroplast.models import adjoint as model
    from neuroplast.modules import shared
    from neuroplast.relaxing import loops

    batches, size, _ = vectors["X1"].shape
    images = {}
    for i in (1, 2):
        x, t = np.concatenate(vectors[f"X{i}"]), np.concatenate(vectors[f"Y{i}"]).argmax(axis=1)
        shape = (1, 1, x.shape[1])
        images[f"x{i}"] = Images(f"reference{i}", x, t, x, t, vectors[f"Y{i}"].shape[2], shape)
    graph = shared(str(vectors["configuration"]).lower(), int(vectors["n_block"]))
    parameters = model.Parameters(
        batch=size, eta=float(vectors["eta"]), optimiser="adam" if vectors["adam"] else "sgd", epe=bool(vectors["EPE"]),
        inference=int(vectors["te1"]) * 10 * ms, learning=int(vectors["te2"]) * 10 * ms, shuffle=False,
    )  # fmt: skip
    alternating = str(vectors["mode"]) == "alternating"
    tasks = [("y2",), ("y1",)] if alternating else None
    made = model.build(parameters, images, graph=graph, tasks=tasks, target=target, dtype="float64")
    ours = {f"WinX_{i}": f"w_in{i}.w" for i in (1, 2)} | {f"Wout_{i}": f"w_out{i}.w" for i in (1, 2, 3)}
    ours |= {f"Win_{i}": f"w{i}.w" for i in (1, 2, 3)} | {f"Wb_f_{i}": f"f{i}.f" for i in (1, 2, 3)}
    ours |= {f"Wb_{i}": f"e{i}.f" for i in (2, 3)} | {f"Wr_{i}": f"rec_L{i}.w" for i in (1, 2, 3, 4)}
    initial = made.initial()
    ours = {theirs: name for theirs, name in ours.items() if name in initial}
    state = initial | {name: vectors[f"init_{theirs}"] for theirs, name in ours.items()}
    state |= {f"y{i}.bias": np.repeat(vectors[f"init_bias_f_{i}"], size) for i in (1, 2)}
    counts, deviations = made.counts(1), {}
    rounds = [("task2_", (2,)), ("task1_", (1,))] if alternating else [("", (1, 2))]
    for batch in range(batches):
        for number, (theirs, outputs) in enumerate(rounds):
            start, length = _positions(made.simulation.schedule, counts, loops(number)[0], batch)
            state = made.simulation.run(state, start=start, stop=start + length, counts=counts).state
            for i in outputs:
                found = state[f"y{i}.p"].reshape(-1, size).T
                deviations[f"out{i} of batch {batch + 1}"] = deviation(found, vectors[f"k{batch}_out{i}"])
            for i in (1, 2, 3, 4):
                if f"k{batch}_{theirs}e{i}" in vectors:
                    found = (state[f"L{i}.z_0"] - state[f"L{i}.z"]).reshape(-1, size).T
                    deviations[f"{theirs}e{i} of batch {batch + 1}"] = deviation(
                        found, vectors[f"k{batch}_{theirs}e{i}"]
                    )
        for theirs, name in ours.items():
            expected = vectors[f"after{batch + 1}_{theirs}"]
            deviations[f"{theirs} after batch {batch + 1}"] = deviation(state[name].reshape(expected.shape), expected)
    return deviations, f"figure 5{vectors['configuration']}, {vectors['mode']}: {batches} batches"


def _positions(schedule, counts, loop, index):
    """Where pass `index` of a loop within the first epoch begins, and how long it is."""
    position = 0
    for node in schedule.body[0].body:
        if node.name == loop:
            length = schedule.length(counts, node.body)
            return position + index * length, length
        position += schedule.length(counts, [node])
    raise KeyError(loop)


#: What a file is about, by an array that only such a one has; others are modules in a row.
KINDS = {"img_0": _gabor, "W_sr1": _lyapunov, "X1": _shared}
