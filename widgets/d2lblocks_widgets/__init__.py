"""Interactive views of nets, parameters and initializers."""
