"""A tiny run of the whole recipe, shared by the tests that look at what it leaves."""

import pytest
from recipe_run import TINY_CORPUS, TINY_TRAINING, RecipeRun, run_recipe


@pytest.fixture(scope="session")
def tiny_demo(tmp_path_factory) -> RecipeRun:
    """`make demo` at tiny size: every stage on the embedded corpus."""
    folder = tmp_path_factory.mktemp("demo")
    return run_recipe(folder, *TINY_CORPUS, *TINY_TRAINING)
