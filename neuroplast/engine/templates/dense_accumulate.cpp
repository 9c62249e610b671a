{# variable (+)= sum over copies of products of a pre-, a postsynaptic and maybe a synaptic factor. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'dense_factors.cpp' as _factors with context %}

{% block maincode %}
    {{real}}* const _out = {{get_array_name(variables[_variable])}};
    {% for term in _terms %}
    {% set _keep = _add or not loop.first %}
    {
        {{ _factors.load(term, 'pre') }}
        {{ _factors.load(term, 'post') }}
        {% if term.syn or (_masked and _keep) %}
        {{ _factors.load(term, 'syn') }}
        static {{real}}* const _product = new {{real}}[{{_n_pre * _n_post}}];
        neuroplast::gemm(false, true, {{_n_pre}}, {{_n_post}}, {{_batch}},
            ({{real}})1, _pre, {{_batch}}, _post, {{_batch}}, ({{real}})0, _product, {{_n_post}});
        for (size_t _idx = 0; _idx < {{_n_pre * _n_post}}; _idx++)
            _out[_idx] {{'+=' if _keep else '='}} {% if term.syn %}_syn[_idx]*{% endif %}_product[_idx];
        {% else %}
        neuroplast::gemm(false, true, {{_n_pre}}, {{_n_post}}, {{_batch}},
            ({{real}})1, _pre, {{_batch}}, _post, {{_batch}}, ({{real}}){{1 if _keep else 0}}, _out, {{_n_post}});
        {% endif %}
    }
    {% endfor %}
    {% if _masked %}
    for (size_t _idx = 0; _idx < {{_n_pre * _n_post}}; _idx++)
        if (!{{get_array_name(owner.variables['_mask'])}}[_idx]) _out[_idx] = 0;
    {% endif %}
{% endblock %}
