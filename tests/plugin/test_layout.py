"""The order of the packages: each builds only on those before it."""

import re
from pathlib import Path

import espnet_blrmoe

PACKAGE = Path(espnet_blrmoe.__file__).parent
ORDER = ["base", "model", "files", "training inference", "bin", "doors"]
DOORS = ("__init__", "run", "registration")  # what comes in through them needs all the rest


def floor_of(module: str) -> int:
    """Of espnet_blrmoe.<module>."""
    room = module.split(".")[0]
    room = "doors" if room in DOORS else room if (PACKAGE / room).is_dir() else "base"
    return next(floor for floor, rooms in enumerate(ORDER) if room in rooms.split())


def test_no_package_builds_on_a_later_one():
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for imported in re.findall(r"^\s*(?:from|import) espnet_blrmoe\.([\w.]+)", path.read_text(), re.MULTILINE):
            assert floor_of(imported) <= floor_of(module), f"{module} imports {imported}"
