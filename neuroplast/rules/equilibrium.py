"""Equilibrium propagation: the difference between two states at rest, one of them nudged towards the target.

The network settles (free phase), then settles again while the outputs are pulled towards the target by a force beta
(nudged phase). The weight between two neurons, the same in both directions, moves by the difference of the products of
their rates::

    dw_ij = eta/beta (r_i r_j - r_i^0 r_j^0)

with r^0 of the free phase. At rest and for small beta that is -dC/dw_ij, exactly (Scellier and Bengio 2017).
"""

from neuroplast.rules.rule import Rule

SYNAPSE = """
G : 1                            # gradient, summed over the batch
beta = nudging*(1 - 2*(trial % 2)) : 1 (shared)  # force of the nudging: its sign alternates
nudging : 1 (shared, constant)   # its strength
change = -G/(n_valid*beta) : 1   # direction in which the weight moves
"""

EP = Rule(
    name="ep",
    synapse=SYNAPSE,
    phases=("free", "nudged"),
    gradient=("G", "there_post*(r_0_post*r_0_pre - r_post*r_pre)"),
    needs={
        "there_post": "there = int(copy < n_valid)*1.0 : 1",
        "r_post": "r = clip(s, 0, 1) : 1",
        "r_0_post": "r_0 : 1",
        "r_pre": "r = clip(s, 0, 1) : 1",
        "r_0_pre": "r_0 : 1",
    },
    records=("w",),
    reference="Scellier and Bengio 2017, doi:10.3389/fncom.2017.00024, equations 9, 13",
)
