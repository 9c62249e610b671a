"""Equation text that models and rules share: strings that Brian2 reads, and nothing else.

A projection that learns has a learning rate ``eta`` and a rule that defines ``change``, the direction in which its
weights ``w`` move. Its postsynaptic population knows ``T``, the duration of a trial.
"""

#: Duration of a trial of n_steps steps: from its first sample, which is given, to one step past its last.
DURATION = """
T = (n_steps + 1)*dt : second (shared)
"""

#: A projection's weights.
WEIGHT = """
w : 1                            # weight
"""

#: What learning adds to a projection.
RATE = """
eta : 1 (shared, constant)       # learning rate
"""

#: What learning trial by trial adds besides.
SUM_OF_CHANGES = """
dw : 1                           # change of the weight, summed over trials
every : integer (shared, constant)                            # trials from change to change
due = int((trial + 1) % every == 0) : integer (shared)        # whether this trial ends with one
"""

#: Move the weights.
LEARN = """
w += eta*dt/T_post*change
"""

#: Keep the change for the end of the trial.
GATHER = """
dw += eta*dt/T_post*change
"""

#: Move the weights by what was kept, if it is time.
APPLY = """
w += due*dw
dw *= 1 - due
"""
