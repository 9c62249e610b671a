"""Learning of layered networks from one forward pass and an error that comes back: backpropagation and its relatives.

With the slope phi'(a_l) of a hidden layer and the mask m_l of dropout, all change weights by
G_l = delta_l r_{l-1}^T and differ in what reaches a hidden neuron::

    delta_l = m_l phi'(a_l) credit_l
    BP          credit_l = W_{l+1}^T delta_{l+1}      the weights of other synapses
    FA_LAYERS   credit_l = B_{l+1} delta_{l+1}        fixed random weights (Lillicrap et al. 2016)
    DFA_LAYERS  credit_l = B_l e                      straight from the output (Nokland 2016)
    DRTP        credit_l = B_l t                      the target in the place of the error (Frenkel et al. 2021)

The last layer has delta_L = e = p - t under all of them.
"""

from dataclasses import replace

from neuroplast.equations import BATCH_GRADIENT
from neuroplast.rules.rule import Rule

BP = Rule(
    name="bp",
    synapse=BATCH_GRADIENT,
    phases=("forward", "backward"),
    gradient=("G", "delta_post*r_pre"),
    needs={"delta_post": "delta = mask*slope*credit : 1", "r_pre": "r : 1"},
    feedback="symmetric",
    records=("w",),
    reference="Rumelhart, Hinton and Williams 1986",
)
FA_LAYERS = replace(BP, name="fa", feedback="random", reference="Lillicrap et al. 2016, doi:10.1038/ncomms13276")
DFA_LAYERS = replace(BP, name="dfa", feedback="direct", reference="Nokland 2016, arXiv 1609.01596")
DRTP = replace(
    BP, name="drtp", feedback="target", reference="Frenkel, Lefebvre and Bol 2021, doi:10.3389/fnins.2021.629892"
)
