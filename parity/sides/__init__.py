"""What can be run and watched: a JAX function, a stored trace."""
