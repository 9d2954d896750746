"""A tiny run of the whole recipe, shared by the tests that look at what it leaves."""

import pytest
from recipe_run import TINY_CORPUS, TINY_TRAINING, RecipeRun, run_recipe


@pytest.fixture(scope="session")
def tiny_demo(tmp_path_factory) -> RecipeRun:
    """`make demo` at tiny size: every stage on the embedded corpus, in a folder whose name shells, patterns, run.pl and
    YAML take for something else."""
    folder = tmp_path_factory.mktemp("demo") / "JOB 1: it's [a-z]* $HOME & (ü) #2"
    folder.mkdir()
    return run_recipe(folder, *TINY_CORPUS, *TINY_TRAINING)
