"""Corpora by their names on the command line: NAME[:DOMAIN][=PATH].

NAME is that of a module in local/corpora, or the dotted path of a module in an installed package (mypackage.mycorpus).
"""

import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import corpora
from corpora import Clip

from shared.kaldi_tables import UserError
from shared.scripts import known_scripts, used_scripts

SPLITS = ("train", "valid", "test")
NEEDED = ("LAYOUT", "languages", "read")  # in the module of a corpus


@dataclass(frozen=True)
class Corpus:
    """A corpus on this machine.

    Attributes:
        name: of its module.
        domain: label of its utterances in utt2domain.
        root: its folder.
        module: see local/corpora/__init__.py.
    """

    name: str
    domain: str
    root: Path
    module: ModuleType

    @cache
    def languages(self, split: str) -> frozenset[str]:
        """The languages that have something in a split."""
        has = split in getattr(self.module, "SPLITS", SPLITS)
        return frozenset(self.module.languages(self.root, split)) if has else frozenset()

    @cache
    def scripts(self, language: str) -> frozenset[str]:
        """The scripts that most sentences use of a language of which they are not known, in the training set if it has
        some there.
        """
        if known_scripts(language):
            return frozenset()
        split = next((name for name in SPLITS if language in self.languages(name)), SPLITS[0])
        return used_scripts(clip.text or "" for clip in self.read(split, [language]))

    def read(self, split: str, languages: Iterable[str]) -> Iterator[Clip]:
        return self.module.read(self.root, split, sorted(languages))


def names() -> list[str]:
    """The corpora of the recipe: the modules and packages in local/corpora."""
    places = Path(corpora.__file__).parent.iterdir()
    return sorted(p.stem for p in places if p.suffix in ("", ".py") and not p.name.startswith(("_", ".")))


def load(name: str) -> ModuleType:
    """The module of a corpus.

    Raises:
        UserError: there is none (lists the known ones), it cannot be imported, or it is not a corpus.
    """
    if "." not in name and name not in names():
        raise UserError(f"corpus '{name}' is unknown; choose from {', '.join(names())}, or name a module of your own "
                        f"with its package: mypackage.{name or 'mycorpus'}")
    path = name if "." in name else f"corpora.{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if f"{path}.".startswith(f"{error.name}."):
            raise UserError(f"corpus {name}: there is no module {error.name}; install the package that has it, or put "
                            "its folder into PYTHONPATH") from error
        raise UserError(f"corpus {name} cannot be imported: {error}") from error
    if missing := [attribute for attribute in NEEDED if not hasattr(module, attribute)]:
        raise UserError(f"corpus {name}: {module.__file__} lacks {', '.join(missing)}; docs/corpora.md says what the "
                        "module of a corpus has")
    return module


def split_word(word: str) -> tuple[str, str, str]:
    """Name, domain and path of NAME[:DOMAIN][=PATH]; the domain is the name's last part unless it is given."""
    label, _, path = word.partition("=")
    name, _, domain = label.partition(":")
    return name, domain or name.rpartition(".")[2], path


def find_corpus(word: str, downloads: Path) -> Corpus:
    """A corpus from the command line; one that makes its audio is in `downloads`, unless a path is given.

    Raises:
        UserError: as for `load`, or nobody says where the corpus is, or there is nothing at the path.
    """
    name, domain, path = split_word(word)
    module, short = load(name), name.rpartition(".")[2]
    path = path or os.environ.get(short.upper())
    if hasattr(module, "make"):
        return Corpus(name, domain, Path(path or downloads / short), module)
    if not path:
        raise UserError(f"{name}: where is it? Write {short.upper()}=FOLDER into db.sh, or --corpus {name}=FOLDER")
    if not os.path.exists(path):
        raise UserError(f"{name}: {os.path.abspath(path)} does not exist. Correct {name}=FOLDER, or {short.upper()} in "
                        "db.sh")
    return Corpus(name, domain, Path(path), module)
