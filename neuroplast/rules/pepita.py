"""Learning from two forward passes: the error shifts the input, and what that changes drives plasticity.

After the image, the network sees the image shifted by its own error, sent back onto the inputs through fixed random
weights F. Each hidden neuron compares its response to the first, m, which its soma holds, with that to the second, r;
with presynaptic activity of the second pass::

    G_1 = (m_1 - r_1) (x + F e)^T,    G_l = (m_l - r_l) r_{l-1}^T,    G_L = e^m r_{L-1}^T

e is the error of the output in the standard pass, e^m that in the modulated pass. Variants: PEPITA_STANDARD takes the
presynaptic activity of the standard pass (section 3.2), ERROR_SIGN sends a tenth of the error's sign (the authors'
code), RANDOM_PERTURBATION shifts the input by noise that knows nothing of the error (appendix D), and with
FROZEN_HIDDEN there is no second pass: the readout learns alone, as if F were 0.

PEPITA_CONV is for the kernels of a convolution: G_1 is the mean over positions of the difference in activity times what
the position sees of the modulated input. PEPITA_SCRIPT is what the authors' published script does instead, as far as
reading it tells: kernels change with the opposite sign and are divided by the batch's size twice, and the readout takes
the error of the standard pass.
"""

from dataclasses import replace

from neuroplast.equations import BATCH_GRADIENT
from neuroplast.rules.rule import Rule

PAPER = "Dellaferrera and Kreiman 2022 (ICML)"
NEEDS = {"mismatch_post": "mismatch = m - r : 1", "r_pre": "r : 1"}

DELTA_MODULATED = Rule(
    name="delta_modulated",
    synapse=BATCH_GRADIENT,
    gradient=("G", "err_m_post*r_pre"),
    needs={"err_m_post": "err_m : 1", "r_pre": "r : 1"},
    records=("w",),
    reference=f"{PAPER}, algorithm 1, last layer",
)
PEPITA = Rule(
    name="pepita",
    synapse=BATCH_GRADIENT,
    phases=("standard", "modulated"),
    gradient=("G", "mismatch_post*r_pre"),
    needs=NEEDS,
    feedback="input",
    readout=DELTA_MODULATED,
    records=("w",),
    reference=f"{PAPER}, algorithm 1",
)
PEPITA_STANDARD = replace(
    PEPITA,
    name="pepita_standard",
    gradient=("G", "mismatch_post*m_pre"),
    needs={"mismatch_post": NEEDS["mismatch_post"], "m_pre": "m : 1"},
    readout=replace(
        DELTA_MODULATED,
        name="delta_standard",
        gradient=("G", "err_m_post*m_pre"),
        needs={"err_m_post": "err_m : 1", "m_pre": "m : 1"},
    ),
    reference=f"{PAPER}, section 3.2",
)
ERROR_SIGN = replace(PEPITA, name="error_sign", feedback="input_sign", reference=f"{PAPER}, authors' code")
RANDOM_PERTURBATION = replace(
    PEPITA,
    name="random_perturbation",
    modulation="shift = strength*rand()",
    feedback="",
    reference=f"{PAPER}, appendix D",
)
FROZEN_HIDDEN = Rule(
    name="frozen_hidden",
    phases=("standard",),
    readout=replace(DELTA_MODULATED, name="delta_batch"),
    reference=f"{PAPER}, figure 5: F = 0",
)
#: Kernels that many positions share change by the mean over these, besides that over the batch.
PEPITA_CONV = replace(
    PEPITA,
    name="pepita_conv",
    gradient=("G", "mismatch_post*r_pre/positions"),
    reference=f"{PAPER}, section 3.3",
)
PEPITA_SCRIPT = replace(
    PEPITA_CONV,
    name="pepita_script",
    gradient=("G", "-mismatch_post*r_pre/(positions*n_valid)"),
    readout=replace(
        DELTA_MODULATED,
        name="delta_script",
        gradient=("G", "err_post*r_pre"),
        needs={"err_post": "err : 1", "r_pre": "r : 1"},
    ),
    reference=f"{PAPER}, authors' script for convolutional networks",
)
