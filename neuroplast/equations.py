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

#: What Adam's adaptive steps add to a projection instead of `RATE`.
ADAM = """
eta : 1 (shared, constant)       # size of a change, while the gradient keeps its sign
beta_m : 1 (shared, constant)    # what the mean gradient keeps at each change
beta_v : 1 (shared, constant)    # what the mean squared gradient keeps
epsilon : 1 (shared, constant)   # keeps the quotient finite
updates : integer (shared)       # changes so far
m : 1                            # mean gradient
v : 1                            # mean squared gradient
"""

#: Keep the change for the end of the trial: the mean over the trials that are summed.
GATHER_MEAN = """
dw += dt/(T_post*every)*change
"""

#: Move the weights by Adam's rule, if it is time; the means are corrected for having begun at zero.
APPLY_ADAM = """
updates += due
m += due*(1 - beta_m)*(dw - m)
v += due*(1 - beta_v)*(dw**2 - v)
w += due*eta*m/(1 - beta_m**(updates + 1 - due))/(sqrt(v/(1 - beta_v**(updates + 1 - due))) + epsilon)
dw *= 1 - due
"""

#: The same in each step.
LEARN_ADAM = """
updates += 1
m += (1 - beta_m)*(dt/T_post*change - m)
v += (1 - beta_v)*((dt/T_post*change)**2 - v)
w += eta*m/(1 - beta_m**updates)/(sqrt(v/(1 - beta_v**updates)) + epsilon)
"""

#: What learning from batches adds to a projection whose copies share it: `n_valid` copies hold data.
BATCH_GRADIENT = """
G : 1                            # gradient, summed over the batch
change = -G/n_valid : 1          # direction in which the weight moves: down the mean gradient
"""

#: What momentum adds: the change goes on, and the rate falls at some epochs.
MOMENTUM = """
velocity : 1                     # running sum of changes
momentum : 1 (shared, constant)  # what it keeps from batch to batch
eta : 1 (shared, constant)       # learning rate
decay : 1 (shared, constant)     # factor of the rate at each of the epochs
fall_1 : integer (shared, constant)  # epochs, counted from 0, at which the rate falls
fall_2 : integer (shared, constant)
fall_3 : integer (shared, constant)
falls = int(epoch >= fall_1) + int(epoch >= fall_2) + int(epoch >= fall_3) : 1 (shared)
"""

#: Euler's step of tau_v dvelocity/dt = -velocity + eta change/(1 - momentum), with dt/tau_v = 1 - momentum.
APPLY_MOMENTUM = """
velocity = momentum*velocity + eta*decay**falls*change
w += velocity
"""

#: The same for `BATCH_GRADIENT`, where the sum over the batch goes straight into what is KEPT of the velocity.
DOWN = """
rate = eta*decay**falls/n_valid : 1 (shared)
"""
KEPT = "momentum"
MOVE = "w += velocity"

#: What its authors recommend.
ADAM_CONSTANTS = {"beta_m": 0.9, "beta_v": 0.999, "epsilon": 1e-8}

#: What Adam adds to a projection that learns from batches (Kingma and Ba 2015, arXiv 1412.6980).
ADAM_BATCH = """
eta : 1 (shared, constant)       # size of a change, while the gradient keeps its sign
beta_m : 1 (shared, constant)    # what the mean gradient keeps at each change
beta_v : 1 (shared, constant)    # what the mean squared gradient keeps
epsilon : 1 (shared, constant)   # keeps the quotient finite
updates : integer (shared)       # changes so far
mean : 1                         # mean change
square : 1                       # mean squared change
"""
APPLY_ADAM_BATCH = """
updates += 1
mean += (1 - beta_m)*(change - mean)
square += (1 - beta_v)*(change**2 - square)
w += eta*mean/(1 - beta_m**updates)/(sqrt(square/(1 - beta_v**updates)) + epsilon)
"""

#: Plain steps down the mean gradient.
SGD_BATCH = """
eta : 1 (shared, constant)       # learning rate
"""
APPLY_SGD_BATCH = """
w += eta*change
"""
