"""Adjoint propagation against runs of the authors' code."""

from __future__ import annotations

import numpy as np

#: Names of merged roles by the authors' number of groups.
MERGED = {4: "none", 1: "all", 2: "receivers/senders of a kind", -2: "crossed"}


def adjoint(vectors, target, deviation):
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
