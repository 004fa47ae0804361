"""What is installed: the package, with `configs/` inside it, and the plugins that Hydra looks for.

`conversion`, `scripts`, `benchmarks`, `nano` and `tests` stay in the checkout.
"""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages(include=["bark_jax*", "hydra_plugins*"]),
        "bark_jax.configs",
    ],
    package_dir={"bark_jax.configs": "configs"},
)
