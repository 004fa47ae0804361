"""How the arithmetic of the transformers is carried out: one interface, a formulation per file.

Models ask for four things (`interface.Formulation`) and know of no platform. `reference` is the
plain way and reads like the paper; `cpu` and `tpu` give the same numbers faster, each choice with
what was measured. All of them share `products`: matrix products in a number format, and their
gradients.
"""
