{# Sums over a batch that are no matrix products: a loop over pairs with the copies innermost.
   onto: 'pre', 'post' (a summed variable) or 'synapse' (accumulate, into `variable`). #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}

{# Panels of rows or columns, so that each sum is made by one of them, in the same order on any number of threads. #}
{% set _length = n_post if onto == 'post' else n_pre %}
{% set _panels = [16, _length] | min if n_pre * n_post * batch > 32768 else 1 %}

{% block maincode %}
    const size_t _vectorisation_idx = -1;
    {{scalar_code|autoindent}}
    {% if onto == 'synapse' %}
    {{real}}* const __restrict _out = {{get_array_name(variables[variable])}};
    {% else %}
    {{real}}* const __restrict _out = {{get_array_name(_target_var)}} + {{_target_start}};
    {% endif %}
    neuroplast::parallel({{_panels}}, [&](int64_t _panel)
    {
    const int _first = _panel*{{_length}}/{{_panels}}, _stop = (_panel + 1)*{{_length}}/{{_panels}};
    {% if onto != 'synapse' %}
    for (int _e = _first*{{batch}}; _e < _stop*{{batch}}; _e++) _out[_e] = 0;
    {% endif %}
    for (int _i = {{'0' if onto == 'post' else '_first'}}; _i < {{n_pre if onto == 'post' else '_stop'}}; _i++)
    for (int _j = {{'_first' if onto == 'post' else '0'}}; _j < {{'_stop' if onto == 'post' else n_post}}; _j++)
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
    });
{% endblock %}
