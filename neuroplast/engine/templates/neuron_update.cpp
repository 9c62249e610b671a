{# Brian2's stateupdate for neurons, which are independent of each other: the compiler need not prove it, and panels of
   many neurons are shared out. _drawn: streams of the uniform numbers that the code reads from buffers. #}
{# USES_VARIABLES { N } #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}

{% block maincode %}
    const size_t _vectorisation_idx = -1;
    {{scalar_code|autoindent}}

    {% set _panel_size = 4096 %}
    {% if _size > _panel_size %}
    neuroplast::parallel({{(_size + _panel_size - 1) // _panel_size}}, [=](int64_t _panel)
    {
    const int _first = _panel*{{_panel_size}}, _stop = std::min(_first + {{_panel_size}}, {{_size}});
    {% else %}
    const int _first = 0, _stop = {{_size}};
    {% endif %}
    {% for stream in _drawn %}
    alignas(64) {{real}} _drawn_{{loop.index0}}[{{[_size, _panel_size] | min}}];
    neuroplast::uniforms({{stream}}, _first, _stop - _first, _drawn_{{loop.index0}});
    {% endfor %}
    #pragma GCC ivdep
    for (int _idx = _first; _idx < _stop; _idx++)
    {
        const size_t _vectorisation_idx = _idx;
        {{vector_code|autoindent}}
    }
    {% if _size > _panel_size %}
    });
    {% endif %}
{% endblock %}
