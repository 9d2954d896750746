"""The order of the packages, each of which builds only on those before it, and the size of modules and functions."""

import ast
from pathlib import Path

import espnet_blrmoe

PACKAGE = Path(espnet_blrmoe.__file__).parent
ORDER = ["recordings", "base", "model", "files", "training inference", "bin", "doors"]
DOORS = ("__init__", "run", "registration", "quiet")  # what comes in through them may need all the rest


def room_of(module: str) -> str:
    """Of espnet_blrmoe.<module>."""
    room = module.split(".")[0]
    return "doors" if room in DOORS else room if (PACKAGE / room).is_dir() else "base"


def imported_by(path: Path) -> list[str]:
    """The modules of the package that a file imports, without the package's name."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name.removeprefix("espnet_blrmoe.") for name in names if name.startswith("espnet_blrmoe.")]


def test_no_package_builds_on_a_later_one():
    floors = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms.split()}
    for path in PACKAGE.rglob("*.py"):
        room = room_of(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
        for imported in imported_by(path):
            other = room_of(imported)
            assert other == room or floors[other] < floors[room], f"{path.relative_to(PACKAGE)} imports {imported}"


RECIPE = PACKAGE.parent / "egs2/blr_moe_masr/asr1/local"
TESTS = Path(__file__).resolve().parents[1]


def test_files_of_tests_are_short():
    for path in TESTS.rglob("*.py"):
        assert path.read_text(encoding="utf-8").count("\n") <= 350, path


def test_modules_and_functions_are_short():
    for path in [*PACKAGE.rglob("*.py"), *RECIPE.rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 350, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 50, f"{node.name} of {path}"
