"""How the arithmetic of the transformers is carried out: one interface, a formulation per file.

Models call six operations (`interface.Formulation`) and know nothing of platforms. `reference` is
the plain implementation and reads like the paper; `cpu`, `cpu_kernels` and `tpu` compute the same
faster, each choice with its measurement. All share `products`: matrix products in a number format,
and their gradients.
"""
