{# variable = keep*variable + sum over positions and copies of products of a pre-, a postsynaptic and maybe a synaptic
   factor; without `_keep` it is replaced, or added to. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'dense_factors.cpp' as _factors with context %}

{% block maincode %}
    const neuroplast::Field _seen{ {{_field}} };
    {{real}}* const _out = {{get_array_name(variables[_variable])}};
    {% if _keep %}
    const {{real}} _keep = {{ _factors.number('keep') }};
    {% endif %}
    {% for term in _terms %}
    {% set _kept = '_keep' if _keep and loop.first else '1' if _add or not loop.first else '0' %}
    {
        {{ _factors.load(term, 'pre') }}
        {% set _apart = _shapes['post'][1] %}
        {% if term.post[0] == 'variable' %}
        {{ _factors.load(term, 'post') }}
        const auto _changes = [=](int64_t _first, int64_t, {{real}}*, int64_t& _ld) { _ld = {{_apart}}; return _post + _first; };
        {% else %}
        // Written where a panel needs them: all of them would have to go through memory once more.
        {{ _factors.values(term, 'post') }}
        const auto _changes = [=](int64_t _first, int64_t _count, {{real}}* _room, int64_t& _ld)
        {
            for (int64_t _channel = 0; _channel < {{_n_post}}; _channel++)
                _post_values(_channel*{{_apart}} + _first, _count, _room + _channel*_count);
            _ld = _count;
            return (const {{real}}*)_room;
        };
        {% endif %}
        const {{real}} _scale = {{ _factors.number(term.scale[1]) if term.scale else 1 }};
        {% if term.syn %}
        {{ _factors.load(term, 'syn') }}
        static {{real}}* const _product = new {{real}}[{{_n_pre * _n_post}}];
        neuroplast::conv_accumulate<{{real}}>(_seen, {{_batch}}, {{_n_post}}, _scale, _pre, _changes, 0, _product);
        for (size_t _idx = 0; _idx < {{_n_pre * _n_post}}; _idx++)
            _out[_idx] = {{ {'0': '', '1': '_out[_idx] + ', '_keep': '_keep*_out[_idx] + '}[_kept] }}_syn[_idx]*_product[_idx];
        {% else %}
        neuroplast::conv_accumulate<{{real}}>(_seen, {{_batch}}, {{_n_post}}, _scale, _pre, _changes, {{_kept}}, _out);
        {% endif %}
    }
    {% endfor %}
{% endblock %}
