"""Interactive views of nets, parameters and initializers."""

from d2lblocks_widgets.initializer_bench import compare_initializers as compare_initializers
