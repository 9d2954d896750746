"""Ends in one sentence if this Python or its system lacks what `make env` cannot install; runs on any Python 3."""

import ctypes
import importlib.util
import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    version = ".".join(str(number) for number in sys.version_info[:2])
    sys.exit("Python 3.11, 3.12 or 3.13 is needed, not " + version + "; choose one: make PYTHON=python3.12 ...")
if importlib.util.find_spec("ensurepip") is None:
    sys.exit("This Python cannot make environments; on Debian and Ubuntu: apt-get install python3-venv")
if sys.platform == "linux":
    try:
        ctypes.CDLL("libstdc++.so.6")
    except OSError:
        sys.exit("The C++ library that NumPy and PyTorch use is missing; install it: apt-get install libstdc++6")
