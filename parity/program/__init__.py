"""JAX programs, read and evaluated."""
