"""Compiles what every message passes through. All else about the package is in pyproject.toml."""

import os

from mypyc.build import mypycify
from setuptools import setup

# Without the project's mypy settings: their plugins are not there where a package is built. How strictly
# the types are checked is `make lint`'s to say: a later mypy must not keep anybody from installing.
compiled = mypycify([f"--config-file={os.devnull}", "collectors/mqtt/codec.py"])
for extension in compiled:
    extension.optional = True  # no C compiler: the Python of the same file runs
setup(ext_modules=compiled)
