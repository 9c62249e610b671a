{# variable = keep*variable + sum over copies of products of a pre-, a postsynaptic and maybe a synaptic factor; without
   `_keep` it is replaced, or added to. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'dense_factors.cpp' as _factors with context %}

{% block maincode %}
    {{real}}* const _out = {{get_array_name(variables[_variable])}};
    {% if _keep %}
    const {{real}} _keep = {{ _factors.number('keep') }};
    {% endif %}
    {% for term in _terms %}
    {% set _kept = '_keep' if _keep and loop.first else '1' if _add or not loop.first else '0' %}
    {
        {{ _factors.load(term, 'pre') }}
        {{ _factors.load(term, 'post') }}
        const {{real}} _scale = {{ _factors.number(term.scale[1]) if term.scale else 1 }};
        {% if term.syn or (_masked and _kept != '0') %}
        {{ _factors.load(term, 'syn') }}
        static {{real}}* const _product = new {{real}}[{{_n_pre * _n_post}}];
        neuroplast::gemm(false, true, {{_n_pre}}, {{_n_post}}, {{_batch}},
            _scale, _pre, {{_batch}}, _post, {{_batch}}, ({{real}})0, _product, {{_n_post}});
        for (size_t _idx = 0; _idx < {{_n_pre * _n_post}}; _idx++)
            _out[_idx] = {{ {'0': '', '1': '_out[_idx] + ', '_keep': '_keep*_out[_idx] + '}[_kept] }}{% if term.syn %}_syn[_idx]*{% endif %}_product[_idx];
        {% else %}
        neuroplast::gemm(false, true, {{_n_pre}}, {{_n_post}}, {{_batch}},
            _scale, _pre, {{_batch}}, _post, {{_batch}}, ({{real}}){{_kept}}, _out, {{_n_post}});
        {% endif %}
    }
    {% endfor %}
    {% if _masked %}
    for (size_t _idx = 0; _idx < {{_n_pre * _n_post}}; _idx++)
        if (!{{get_array_name(owner.variables['_mask'])}}[_idx]) _out[_idx] = 0;
    {% endif %}
{% endblock %}
