{# Sums over a batch that are no matrix products: a loop over pairs with the copies innermost.
   _onto: 'pre', 'post' (a summed variable) or 'synapse' (accumulate, into `_variable`). #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}

{# Panels of rows or columns, so that each sum is made by one of them, in the same order on any number of threads. #}
{% set _length = _n_post if _onto == 'post' else _n_pre %}
{% set _panels = [16, _length] | min if _n_pre * _n_post * _batch > 32768 else 1 %}

{% block maincode %}
    const size_t _vectorisation_idx = -1;
    {{scalar_code|autoindent}}
    {% if _onto == 'synapse' %}
    {{real}}* const __restrict _out = {{get_array_name(variables[_variable])}};
    {% else %}
    {{real}}* const __restrict _out = {{get_array_name(_target_var)}} + {{_target_start}};
    {% endif %}
    neuroplast::parallel({{_panels}}, [&](int64_t _panel)
    {
    const int _first = _panel*{{_length}}/{{_panels}}, _stop = (_panel + 1)*{{_length}}/{{_panels}};
    {% if _onto != 'synapse' %}
    for (int _e = _first*{{_batch}}; _e < _stop*{{_batch}}; _e++) _out[_e] = 0;
    {% endif %}
    for (int _i = {{'0' if _onto == 'post' else '_first'}}; _i < {{_n_pre if _onto == 'post' else '_stop'}}; _i++)
    for (int _j = {{'_first' if _onto == 'post' else '0'}}; _j < {{'_stop' if _onto == 'post' else _n_post}}; _j++)
    {
        const size_t _idx = (size_t)_i*{{_n_post}} + _j;
        {% if _masked %}
        if (!{{get_array_name(owner.variables['_mask'])}}[_idx]) continue;
        {% endif %}
        {% if _onto == 'synapse' %}
        {{real}} _total = 0;
        {% endif %}
        #pragma GCC ivdep
        for (int _copy = 0; _copy < {{_batch}}; _copy++)
        {
            const int _presynaptic_idx = _i*{{_batch}} + _copy + {{_pre_start}};
            const int _postsynaptic_idx = _j*{{_batch}} + _copy + {{_post_start}};
            const size_t _vectorisation_idx = _idx*{{_batch}} + _copy;
            {{vector_code|autoindent}}
            {% if _onto == 'synapse' %}
            _total += _synaptic_var;
            {% else %}
            _out[{{'_j' if _onto == 'post' else '_i'}}*{{_batch}} + _copy] += _synaptic_var;
            {% endif %}
        }
        {% if _onto == 'synapse' %}
        _out[_idx] {{'+=' if _add else '='}} _total;
        {% endif %}
    }
    });
{% endblock %}
