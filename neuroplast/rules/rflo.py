"""Random feedback local online learning (RFLO).

Each synapse keeps an eligibility trace p of how its weight has moved the postsynaptic unit a, the influence through the
rest of the network left out; the error reaches the unit through fixed random weights B::

    tau dp_ab/dt = -p_ab + phi'(u_a) r_b
    dw_ab/dt = eta/T (B err)_a p_ab

r is the presynaptic activity that u was made of. What the synapse reads is at the synapse, at that time.
"""

from neuroplast.rules.rule import Rule

SYNAPSE = """
dp/dt = (-p + slope_post*r_pre)/tau_post : 1 (clock-driven)     # eligibility trace
change = credit_post*p : 1                                      # error at the unit times eligibility
"""

NEEDS = {
    "slope_post": "slope = 1 - tanh(u)**2 : 1 (constant over dt)",
    "r_pre": "r = h : 1 (constant over dt)",
    "tau_post": "tau : second (shared, constant)",
    "credit_post": "credit : 1",
}

RFLO = Rule(
    name="rflo",
    synapse=SYNAPSE,
    needs=NEEDS,
    order={"update": 30},
    start="p = 0",
    feedback="random",
    records=("p", "w"),
    reference="Murray 2019, eLife 8:e43299, equations 5 and 6",
)
