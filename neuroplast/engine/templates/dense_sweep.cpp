{# One pass over the matrix: updates of synaptic variables, sums onto neurons, or both.
   Geometry: _n_pre, _n_post, _pre_start, _post_start, _masked, _alternate, _unroll.
   _sums: list of {value, onto, variable, start, buffer}: the name summed, onto pre or post, the target's variable and
   first element, or the name of a file-scope buffer that takes the sum instead.
   A row is the N_post synapses of one presynaptic neuron. #}
{# ALLOWS_SCALAR_WRITE #}
{# Panels of rows are shared out where a batch shares the matrix: without one, a step is too short. #}
{% set _shared_out = _batch > 1 and not _sums and _n_pre*_n_post > 65536 %}
{% extends 'common_group.cpp' %}

{% macro _synapse(row, column) %}
{
    const int _i = {{row}};
    const int _j = {{column}};
    const int _presynaptic_idx = _i + {{_pre_start}};
    const int _postsynaptic_idx = _j + {{_post_start}};
    const size_t _idx = (size_t)_i*{{_n_post}} + _j;
    const size_t _vectorisation_idx = _idx;
    {{vector_code|autoindent}}
    {% for sum in _sums %}
    _acc{{loop.index0}} += {% if _masked %}!{{get_array_name(owner.variables['_mask'])}}[_idx] ? 0 : {% endif %}{{sum.value}};
    {% endfor %}
}
{% endmacro %}

{% block maincode %}
    const size_t _vectorisation_idx = -1;
    {{scalar_code|autoindent}}

    {% for type, name in pre_buffers %}
    alignas(64) static {{type}} {{name}}[{{_n_pre}}];
    {% endfor %}
    {% for type, name in post_buffers %}
    alignas(64) static {{type}} {{name}}[{{_n_post}}];
    {% endfor %}
    {% if pre_buffers %}
    for (int _i = 0; _i < {{_n_pre}}; _i++)
    {
        const int _presynaptic_idx = _i + {{_pre_start}};
        {{pre_code|autoindent}}
    }
    {% endif %}
    {% if post_buffers %}
    for (int _j = 0; _j < {{_n_post}}; _j++)
    {
        const int _postsynaptic_idx = _j + {{_post_start}};
        {{post_code|autoindent}}
    }
    {% endif %}
    {% for sum in _sums %}
    {{real}}* __restrict _sum{{loop.index0}} = {% if sum.buffer %}neuroplast::{{sum.buffer}}{% else %}{{get_array_name(sum.variable)}} + {{sum.start}}{% endif %};
    {% endfor %}

    {% if _n_post == 1 %}
    // One postsynaptic neuron: the column is contiguous, so the loop over rows is the vector loop.
    {% for sum in _sums %}
    {% if sum.onto == 'post' %}
    {{real}} _acc{{loop.index0}} = 0;
    {% endif %}
    {% endfor %}
    #pragma GCC ivdep
    for (int _row = 0; _row < {{_n_pre}}; _row++)
    {
        {% for sum in _sums %}
        {% if sum.onto == 'pre' %}
        {{real}} _acc{{loop.index0}} = 0;
        {% endif %}
        {% endfor %}
        {{ _synapse('_row', '0') }}
        {% for sum in _sums %}
        {% if sum.onto == 'pre' %}
        _sum{{loop.index0}}[_row] = _acc{{loop.index0}};
        {% endif %}
        {% endfor %}
    }
    {% for sum in _sums %}
    {% if sum.onto == 'post' %}
    _sum{{loop.index0}}[0] = _acc{{loop.index0}};
    {% endif %}
    {% endfor %}
    {% elif _sums | selectattr('onto', 'equalto', 'pre') | list %}
    // Sums onto presynaptic neurons reduce along a row.
    {% for sum in _sums %}
    {% if sum.onto == 'post' %}
    for (int _j = 0; _j < {{_n_post}}; _j++) _sum{{loop.index0}}[_j] = 0;
    {% endif %}
    {% endfor %}
    for (int _row = 0; _row < {{_n_pre}}; _row++)
    {
        {% for sum in _sums %}
        {% if sum.onto == 'pre' %}
        {{real}} _acc{{loop.index0}} = 0;
        {% endif %}
        {% endfor %}
        #pragma GCC ivdep
        for (int _column = 0; _column < {{_n_post}}; _column++)
        {
            {% for sum in _sums %}
            {% if sum.onto == 'post' %}
            {{real}} _acc{{loop.index0}} = _sum{{loop.index0}}[_column];
            {% endif %}
            {% endfor %}
            {{ _synapse('_row', '_column') }}
            {% for sum in _sums %}
            {% if sum.onto == 'post' %}
            _sum{{loop.index0}}[_column] = _acc{{loop.index0}};
            {% endif %}
            {% endfor %}
        }
        {% for sum in _sums %}
        {% if sum.onto == 'pre' %}
        _sum{{loop.index0}}[_row] = _acc{{loop.index0}};
        {% endif %}
        {% endfor %}
    }
    {% else %}
    // Several rows at a time, so that sums onto postsynaptic neurons are loaded and stored once per {{_unroll}} rows.
    {% for sum in _sums %}
    for (int _j = 0; _j < {{_n_post}}; _j++) _sum{{loop.index0}}[_j] = 0;
    {% endfor %}
    {% for first, stop, step in [(0, _n_pre // _unroll * _unroll, _unroll), (_n_pre // _unroll * _unroll, _n_pre, 1)] %}
    {% if first < stop %}
    {% if _shared_out %}
    {% set _panel_rows = [32768 // _n_post, 1] | max %}
    neuroplast::parallel({{(_n_pre + _panel_rows - 1) // _panel_rows}}, [=](int64_t _panel)
    {
    const int _last = std::min<int64_t>((_panel + 1)*{{_panel_rows}}, {{_n_pre}});
    for (int _pass = _panel*{{_panel_rows}}; _pass < _last; _pass++)
    {% else %}
    for (int _pass = {{first}}; _pass < {{stop}}; _pass += {{step}})
    {% endif %}
    {
        {% if _alternate %}
        // Up in one step and down in the next: what the cache still holds of the last step is used first.
        const int _row = neuroplast::downward ? {{stop + first - step}} - _pass : _pass;
        {% else %}
        const int _row = _pass;
        {% endif %}
        #pragma GCC ivdep
        for (int _column = 0; _column < {{_n_post}}; _column++)
        {
            {% for sum in _sums %}
            {{real}} _acc{{loop.index0}} = _sum{{loop.index0}}[_column];
            {% endfor %}
            {% for offset in range(step) %}
            {{ _synapse('_row + ' ~ offset, '_column') }}
            {% endfor %}
            {% for sum in _sums %}
            _sum{{loop.index0}}[_column] = _acc{{loop.index0}};
            {% endfor %}
        }
    }
    {% if _shared_out %}
    });
    {% endif %}
    {% endif %}
    {% endfor %}
    {% endif %}
{% endblock %}
