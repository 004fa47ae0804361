"""What is installed: the package, with `configs/` inside it, and the plugins that Hydra looks for.

`conversion`, `scripts`, `benchmarks`, `nano` and `tests` stay in the checkout. The kernels for CPUs
(`bark_jax/kernels/`) are built where there is a C++ compiler; without one the package does without.
"""

import sys
from pathlib import Path

import jaxlib
from setuptools import Extension, find_namespace_packages, setup

HEADERS = Path(jaxlib.__file__).parent / "include"  # of XLA's foreign functions
KERNELS = Extension(  # no module of Python's: `kernels/native.py` loads it with ctypes
    "bark_jax.kernels._handlers",
    ["bark_jax/kernels/handlers.cc"],
    depends=[
        f"bark_jax/kernels/{name}.h"
        for name in ("attend", "dispatch", "few_rows", "many_rows", "parallel")
    ],
    language="c++",
    extra_compile_args=["-std=c++17", "-O3", "-g0", "-isystem", str(HEADERS)],
    optional=True,
)

setup(
    packages=[
        *find_namespace_packages(include=["bark_jax*", "hydra_plugins*"]),
        "bark_jax.configs",
    ],
    package_dir={"bark_jax.configs": "configs"},
    ext_modules=[] if sys.platform == "win32" else [KERNELS],
)
