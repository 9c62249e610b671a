{# A (summed) variable of a batch as matrix products. _terms: list of {pre, syn, post}, each None, ('variable', name) or
   ('block', key); matrices are (neurons x batch) and (n_pre x n_post), row-major. _onto: 'pre' or 'post'. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'dense_factors.cpp' as _factors with context %}

{% block maincode %}
    {{real}}* const _out = {{get_array_name(_target_var)}} + {{_target_start}};
    {% set _rows = _n_post if _onto == 'post' else _n_pre %}
    {% set _other = 'post' if _onto == 'post' else 'pre' %}
    {% set _operand = 'pre' if _onto == 'post' else 'post' %}
    {% for term in _terms %}
    {
        {{ _factors.load(term, 'syn') }}
        {{ _factors.load(term, _operand) }}
        {% set _n_out, _n_in = (_n_post, _n_pre) if _onto == 'post' else (_n_pre, _n_post) %}
        {% set _turned = 'false' if _onto == 'post' else 'true' %}
        static neuroplast::Sparse<{{real}}> _sparse(_syn, {{_n_in}}, {{_n_out}}, {{_n_post}}, {{_turned}});
        {% if term[_other] %}
        {{ _factors.load(term, _other) }}
        static {{real}}* const _product = new {{real}}[{{_rows * _batch}}]();  // parts of it may never be made
        neuroplast::product(_sparse, {{_turned}}, {{_n_out}}, {{_batch}}, {{_n_in}}, _syn, {{_n_post}}, _{{_operand}}, false, _product);
        for (int _e = 0; _e < {{_rows * _batch}}; _e++)
            _out[_e] {{'=' if loop.first else '+='}} _{{_other}}[_e]*_product[_e];
        {% else %}
        neuroplast::product(_sparse, {{_turned}}, {{_n_out}}, {{_batch}}, {{_n_in}}, _syn, {{_n_post}}, _{{_operand}}, {{'false' if loop.first else 'true'}}, _out);
        {% endif %}
    }
    {% endfor %}
{% endblock %}
