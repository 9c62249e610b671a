{# Statements that write a neuron's variable, which many synapses share: one synapse after the other. #}
{# USES_VARIABLES { N } #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'stateupdate.cpp' %}
