{# In the place of Brian2's statemonitor: a record goes to a stream for each variable, nothing grows. #}
{# USES_VARIABLES { _clock_t, _indices } #}
{% extends 'common_group.cpp' %}

{% block maincode %}
    static neuroplast::Stream _stream_t("{{owner.name}}.t");
    {% for name in _recorded_variables | sort %}
    static neuroplast::Stream _stream_{{name}}("{{owner.name}}.{{name}}");
    {% endfor %}
    _stream_t.put(&{{_clock_t}}, sizeof(double));

    // scalar code
    const size_t _vectorisation_idx = -1;
    {{scalar_code|autoindent}}

    {% for name in _once | sort %}
    {
        const {{c_data_type(_recorded_variables[name].dtype)}} _value = _to_record_{{name}};
        _stream_{{name}}.put(&_value, sizeof(_value));
    }
    {% endfor %}
    {% for name, (source, start, count) in _whole | dictsort %}
    _stream_{{name}}.put(&{{get_array_name(source)}}[{{start}}], {{count}}*sizeof({{c_data_type(source.dtype)}}));
    {% endfor %}
    {% if _each %}
    {% for name in _each | sort %}
    static {{c_data_type(_recorded_variables[name].dtype)}} _row_{{name}}[{{_count}}];
    {% endfor %}
    for (int _i = 0; _i < (int)_num_indices; _i++)
    {
        // vector code
        const size_t _idx = {{_indices}}[_i];
        const size_t _vectorisation_idx = _idx;
        {{vector_code|autoindent}}

        {% for name in _each | sort %}
        _row_{{name}}[_i] = _to_record_{{name}};
        {% endfor %}
    }
    {% for name in _each | sort %}
    _stream_{{name}}.put(_row_{{name}}, sizeof(_row_{{name}}));
    {% endfor %}
    {% endif %}
{% endblock %}
