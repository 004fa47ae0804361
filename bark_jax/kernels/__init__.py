"""What XLA has no fast form of on CPUs, in C++ through `jax.ffi`.

`handlers.cc` is built when the package is installed, if there is a C++ compiler, and `native.py`
loads it. Where it is missing everything works, by XLA alone.
"""
