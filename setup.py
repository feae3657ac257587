"""Compiles what every message passes through. All else about the package is in pyproject.toml."""

import os

from mypyc.build import mypycify
from setuptools import setup

# Without the project's mypy settings: their plugins are not there where a package is built.
compiled = mypycify([f"--config-file={os.devnull}", "--strict", "collectors/mqtt/wire.py"])
for extension in compiled:
    extension.optional = True  # no C compiler: the Python of the same file runs
setup(ext_modules=compiled)
