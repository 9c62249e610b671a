{# A (summed) variable of shared kernels as products of patches. _terms and _onto as in dense_product.cpp; activities of
   the presynaptic side are (neurons x batch), those of the postsynaptic side (channels x positions and batch). #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'dense_factors.cpp' as _factors with context %}

{% block maincode %}
    const neuroplast::Field _seen{ {{_field}} };
    {{real}}* const _out = {{get_array_name(_target_var)}} + {{_target_start}};
    {% set _operand = 'pre' if _onto == 'post' else 'post' %}
    {% set _size = _shapes[_onto][0]*_shapes[_onto][1] %}
    {% for term in _terms %}
    {
        {{ _factors.load(term, 'syn') }}
        {{ _factors.load(term, _operand) }}
        {% if term[_onto] %}
        {{ _factors.load(term, _onto) }}
        static {{real}}* const _product = new {{real}}[{{_size}}];
        neuroplast::conv_onto_{{_onto}}<{{real}}>(_seen, {{_batch}}, {{_n_post}}, _syn, _{{_operand}}, false, _product);
        for (int _e = 0; _e < {{_size}}; _e++)
            _out[_e] {{'=' if loop.first else '+='}} _{{_onto}}[_e]*_product[_e];
        {% else %}
        neuroplast::conv_onto_{{_onto}}<{{real}}>(_seen, {{_batch}}, {{_n_post}}, _syn, _{{_operand}}, {{'false' if loop.first else 'true'}}, _out);
        {% endif %}
    }
    {% endfor %}
{% endblock %}
