{# Sums over a batch that are no matrix products: a loop over pairs with the copies innermost.
   onto: 'pre', 'post' (a summed variable) or 'synapse' (accumulate, into `variable`). #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}

{% block maincode %}
    const size_t _vectorisation_idx = -1;
    {{scalar_code|autoindent}}
    {% if onto == 'synapse' %}
    {{real}}* __restrict _out = {{get_array_name(variables[variable])}};
    {% else %}
    {{real}}* __restrict _out = {{get_array_name(_target_var)}} + {{_target_start}};
    for (int _e = 0; _e < {{(n_post if onto == 'post' else n_pre) * batch}}; _e++) _out[_e] = 0;
    {% endif %}
    for (int _i = 0; _i < {{n_pre}}; _i++)
    for (int _j = 0; _j < {{n_post}}; _j++)
    {
        const size_t _idx = (size_t)_i*{{n_post}} + _j;
        {% if masked %}
        if (!{{get_array_name(owner.variables['_mask'])}}[_idx]) continue;
        {% endif %}
        {% if onto == 'synapse' %}
        {{real}} _total = 0;
        {% endif %}
        #pragma GCC ivdep
        for (int _copy = 0; _copy < {{batch}}; _copy++)
        {
            const int _presynaptic_idx = _i*{{batch}} + _copy + {{pre_start}};
            const int _postsynaptic_idx = _j*{{batch}} + _copy + {{post_start}};
            const size_t _vectorisation_idx = _idx*{{batch}} + _copy;
            {{vector_code|autoindent}}
            {% if onto == 'synapse' %}
            _total += _synaptic_var;
            {% else %}
            _out[{{'_j' if onto == 'post' else '_i'}}*{{batch}} + _copy] += _synaptic_var;
            {% endif %}
        }
        {% if onto == 'synapse' %}
        _out[_idx] {{'+=' if add else '='}} _total;
        {% endif %}
    }
{% endblock %}
