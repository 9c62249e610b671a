"""Direct feedback alignment in a recurrent network: the present error reaches every past step directly.

Unfolded in time, a recurrent network is a deep one with a layer per step, all with the same weights. The error of step
t goes through fixed random weights B to each of the layers l <= t and there meets slope and activity::

    p_ab(t) = sum over l <= t of phi'(u_a(l)) r_b(l) dt/tau
    dw_ab/dt = eta/T (B err)_a p_ab                       DFA: the sum over layers
    dw_ab/dt = eta/T (B err)_a p_ab tau/t                 DFA_MEAN: their mean, as in Wang, Gray and Banerjee, eq. 1

With a running mean instead of a decaying one, DFA_MEAN is RFLO with a memory as long as the trial.
"""

from dataclasses import replace

from neuroplast.rules.rflo import RFLO

TRACE = """
dp/dt = slope_post*r_pre/tau_post : 1 (clock-driven)            # eligibility, summed over the trial
"""
SUM = """
change = credit_post*p : 1                                      # error at the unit times eligibility
"""
MEAN = """
change = credit_post*p*tau_post/((k + 1)*dt) : 1                # error at the unit times mean eligibility
"""

DFA = replace(RFLO, name="dfa", synapse=TRACE + SUM, reference="Nokland 2016, unfolded in time")
DFA_MEAN = replace(
    DFA, name="dfa_mean", synapse=TRACE + MEAN, reference="Wang, Gray and Banerjee (unpublished), equations 1 and 6"
)
