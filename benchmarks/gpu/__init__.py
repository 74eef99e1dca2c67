"""What group ``wgpu`` measures: the same computations in Volta, tinygrad and jax-js."""
