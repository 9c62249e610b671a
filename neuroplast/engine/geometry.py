"""Operations that measure whole matrices of weights: norms, and the angle of their product to the feedback."""

from __future__ import annotations

import numpy as np

from neuroplast.engine.operations import NativeOperation
from neuroplast.errors import InputError


def norm_variables(count):
    """Equations of the shared variables ``norm_w1``, ... that `norms` writes.

    Parameters
    ----------
    count : int
        Number of projections.
    """
    return "\n".join(["", *("norm_w" + str(i + 1) + " : 1 (shared)" for i in range(count)), ""])


def norms(population, projections, *, when="groups", order=0, name="norms"):
    """Operation: the Frobenius norm of each projection's weights, into ``norm_w1``, ``norm_w2``, ...

    Parameters
    ----------
    population : Population
        Has these shared variables, see `norm_variables`.
    projections : list of DenseSynapses
        Have a variable ``w``.
    when, order, name
        As for every operation.

    Returns
    -------
    NativeOperation
    """
    weights = [synapses.variables["w"] for synapses in projections]
    into = [_shared(name, population, f"norm_w{i}") for i in range(1, len(weights) + 1)]

    def cpp(pointer):
        lines = []
        for w, norm, synapses in zip(weights, into, projections, strict=True):
            lines.append(
                f"{{ double total = 0; for (int64_t i = 0; i < {np.prod(synapses.shape)}; i++) "
                f"total += (double){pointer(w)}[i]*{pointer(w)}[i]; {pointer(norm)}[0] = std::sqrt(total); }}"
            )
        return "\n".join(lines)

    def numpy(value):
        for w, norm in zip(weights, into, strict=True):
            value(norm)[0] = np.linalg.norm(np.asarray(value(w), dtype=float))

    return NativeOperation(name, cpp=cpp, numpy=numpy, reads=weights, writes=into, when=when, order=order)


def feedback_angle(population, projections, feedback, variable, into, *, when="groups", order=0, name=None):
    """Operation: degrees between W_1^T ... W_L^T, as a matrix of inputs by outputs, and the feedback weights.

    Parameters
    ----------
    population : Population
        Has the shared variable `into`.
    projections : list of DenseSynapses
        From the inputs to the outputs, each with a variable ``w``.
    feedback : DenseSynapses
        From the outputs to the inputs.
    variable : str
        Its weights.
    into : str
    when, order, name
        As for every operation.

    Returns
    -------
    NativeOperation
    """
    name = name or f"{population.name}_{into}"
    weights, shapes = [s.variables["w"] for s in projections], [s.shape for s in projections]
    f, angle = feedback.variables[variable], _shared(name, population, into)
    n_in, n_out = shapes[0][0], shapes[-1][1]

    def cpp(pointer):
        kind = "double" if f.dtype == np.float64 else "float"
        lines = [
            f"std::vector<{kind}> product({pointer(weights[-1])}, {pointer(weights[-1])} + {np.prod(shapes[-1])});"
        ]
        for w, (n_pre, n_post) in zip(weights[-2::-1], shapes[-2::-1], strict=True):
            lines.append(
                f"{{ std::vector<{kind}> next({n_pre * n_out}); gemm<{kind}>(false, false, {n_pre}, {n_out}, {n_post}, "
                f"1, {pointer(w)}, {n_post}, product.data(), {n_out}, 0, next.data(), {n_out}); product.swap(next); }}"
            )
        lines.append(
            "double dot = 0, ours = 0, theirs = 0;\n"
            f"for (int64_t i = 0; i < {n_in}; i++) for (int64_t j = 0; j < {n_out}; j++) {{\n"
            f"    const double a = product[i*{n_out} + j], b = {pointer(f)}[j*{n_in} + i];\n"
            "    dot += a*b; ours += a*a; theirs += b*b;\n}\n"
            "const double cosine = ours*theirs > 0 ? dot/std::sqrt(ours*theirs) : 0;\n"
            f"{pointer(angle)}[0] = std::acos(std::max(-1.0, std::min(1.0, cosine)))*180/3.14159265358979323846;"
        )
        return "\n".join(lines)

    def numpy(value):
        matrices = [np.reshape(value(w), shape).astype(float) for w, shape in zip(weights, shapes, strict=True)]
        ours, theirs = np.linalg.multi_dot([*matrices, np.eye(n_out)]), np.reshape(value(f), (n_out, n_in)).T
        size = np.linalg.norm(ours) * np.linalg.norm(theirs)
        cosine = np.sum(ours * theirs) / size if size > 0 else 0.0
        value(angle)[0] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))

    return NativeOperation(
        name, cpp=cpp, numpy=numpy, reads=[*weights, f], writes=[angle], when=when, order=order, blas=True
    )


def _shared(owner, population, name):
    variable = population.variables.get(name)
    if variable is None or not variable.scalar:
        raise InputError(
            f"'{owner}': '{name}' should be a shared variable of '{population.name}'. Add '{name} : 1 (shared)' to its "
            "equations."
        )
    return variable
