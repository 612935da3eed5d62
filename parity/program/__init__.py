"""JAX programs read and evaluated: operations, stages, oracle, error bounds."""
