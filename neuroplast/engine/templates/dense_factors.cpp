{# Factors of a product: `load` defines the pointer _pre, _syn or _post to the matrix of one factor; `values` a function
   that writes some of the elements of one that is a block, where they are wanted piece by piece; `number` is an
   expression, the value of one that all synapses share. #}
{% macro number(key) %}
[&]() -> {{real}} {
    const size_t _vectorisation_idx = -1;
    {{scalar_code[key]|autoindent}}
    {{vector_code[key]|autoindent}}
    return _{{key}};
}()
{% endmacro %}
{% macro load(term, kind) %}
{% set _factor = term[kind] %}
{% set _size = _shapes[kind][0]*_shapes[kind][1] %}
{% set _start = {'pre': _pre_start, 'post': _post_start, 'syn': 0}[kind] %}
{% if _factor and _factor[0] == 'variable' %}
const {{real}}* const _{{kind}} = {{get_array_name(variables[_factor[1]])}} + {{_start}};
{% elif _factor %}
static {{real}}* const _{{kind}} = new {{real}}[{{_size}}];
{
    const size_t _vectorisation_idx = -1;
    {{scalar_code[_factor[1]]|autoindent}}
    {% set _panel_size = 4096 %}
    {% if _size > _panel_size %}
    neuroplast::parallel({{(_size + _panel_size - 1) // _panel_size}}, [=](int64_t _panel)
    {
    const int _first = _panel*{{_panel_size}}, _stop = std::min(_first + {{_panel_size}}, {{_size}});
    {% else %}
    const int _first = 0, _stop = {{_size}};
    {% endif %}
    #pragma GCC ivdep
    for (int _element = _first; _element < _stop; _element++)
    {
        {% if kind == 'pre' %}
        const int _presynaptic_idx = _element + {{_start}};
        {% elif kind == 'post' %}
        const int _postsynaptic_idx = _element + {{_start}};
        {% else %}
        const size_t _idx = _element;
        {% endif %}
        const size_t _vectorisation_idx = _element;
        {{vector_code[_factor[1]]|autoindent}}
        _{{kind}}[_element] = {% if kind == 'syn' and _masked %}!{{get_array_name(owner.variables['_mask'])}}[_idx] ? 0 : {% endif %}_{{_factor[1]}};
    }
    {% if _size > _panel_size %}
    });
    {% endif %}
}
{% endif %}
{% endmacro %}
{% macro values(term, kind) %}
const auto _{{kind}}_values = [=](const int64_t _begin, const int64_t _count, {{real}}* __restrict _to)
{
    const size_t _vectorisation_idx = -1;
    {{scalar_code[term[kind][1]]|autoindent}}
    #pragma GCC ivdep
    for (int64_t _place = 0; _place < _count; _place++)
    {
        const int _element = _begin + _place;
        const int _{{kind}}synaptic_idx = _element + {{ {'pre': _pre_start, 'post': _post_start}[kind] }};
        const size_t _vectorisation_idx = _element;
        {{vector_code[term[kind][1]]|autoindent}}
        _to[_place] = _{{term[kind][1]}};
    }
};
{% endmacro %}
