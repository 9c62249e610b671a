{# In the place of Brian2's spikemonitor: what is recorded of each spike goes to streams. #}
{# USES_VARIABLES { _source_start, _source_stop } #}
{% extends 'common_group.cpp' %}

{% block maincode %}
    {% set _eventspace = get_array_name(eventspace_variable) %}
    {% for name in record_variables | sort %}
    static neuroplast::Stream _stream_{{name}}("{{owner.name}}.{{name}}");
    {% endfor %}
    const int32_t _spikes = {{_eventspace}}[_num{{eventspace_variable.name}}-1];
    if (_spikes > 0)
    {
        const size_t _vectorisation_idx = 1;
        {{scalar_code|autoindent}}
        for (int32_t _j = 0; _j < _spikes; _j++)
        {
            const size_t _idx = {{_eventspace}}[_j];
            if (_idx < _source_start || _idx >= _source_stop) continue;  // neurons of which others are recorded
            const size_t _vectorisation_idx = _idx;
            {{vector_code|autoindent}}
            {% for name, var in record_variables | dictsort %}
            {
                const {{c_data_type(var.dtype)}} _value = _to_record_{{name}};
                _stream_{{name}}.put(&_value, sizeof(_value));
            }
            {% endfor %}
        }
    }
{% endblock %}
