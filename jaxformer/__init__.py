"""A from-scratch Gemma 3 in JAX whose every intermediate value can be watched."""
