"""Programs of JAX in tests: they are compiled more often than they run for long."""

# XLA_FLAGS: machine code that is not optimised, which saves a third of a small run's processor time.
QUICKLY_COMPILED = "--xla_backend_optimization_level=0"
