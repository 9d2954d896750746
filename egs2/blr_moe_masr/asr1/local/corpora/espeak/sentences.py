"""Open-ended text of the default corpus: sentences from one small grammar per language, `grammars/<language>.toml`.

    for sentence in itertools.islice(sentences("es", seed=0), 5): ...

To add a language, write its grammar. `voice` is eSpeak NG's code and `numbers` num2words' code; under `[rules]` each
rule lists its alternatives, one per line or separated by commas, and `sentence` is where sentences start. In an
alternative, `{rule}` stands for any alternative of that rule, `{2..99}` for a number in words, and `{year 1900..1999}`
for a year as it is read out. A language without a grammar still has phrases of numbers.
"""

import random
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import num2words
from shared.code_switching import MARK
from shared.kaldi_tables import UserError
from shared.text_normalization import normalise

GRAMMARS = Path(__file__).parent / "grammars"
WORDS = range(3, 11)  # of a sentence: some 2 to 5 seconds of speech
RULE_SLOT = re.compile(r"{(\w+)}")
NUMBER_SLOT = re.compile(r"{(?:(\w+) )?(\d+)\.\.(\d+)}")
PHRASES = ("thing", "where")  # rules of phrases that mean the same, and stand alike, in every language's sentences
GIVE_UP = 10_000  # draws in a row without a new sentence


@dataclass(frozen=True)
class Grammar:
    """What can be said in a language.

    Attributes:
        voice: eSpeak NG's language code.
        numbers: num2words' language code.
        rules: rule name -> its alternatives.
    """

    voice: str
    numbers: str
    rules: dict[str, list[str]]


@cache
def grammar(language: str) -> Grammar:
    """The grammar of a language, or number phrases for a language without one.

    Raises:
        UserError: there is neither a grammar nor a num2words converter (names the known languages).
    """
    path = GRAMMARS / f"{language}.toml"
    if path.is_file():
        return _read_grammar(path)
    if language in num2words.CONVERTER_CLASSES:
        phrases = ["{0..99} {0..99} {0..99}", "{0..999} {0..999}"]
        return Grammar(language.lower().replace("_", "-"), language, {"sentence": phrases})
    raise UserError(
        f"there is no text for the language '{language}'; with sentences: {' '.join(known_languages())}; "
        f"with numbers only: {' '.join(sorted(num2words.CONVERTER_CLASSES.keys() - set(known_languages())))}; "
        f"to add it, write {path.name} like {GRAMMARS.name}/en.toml"
    )


def _read_grammar(path: Path) -> Grammar:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        rules = {name: _alternatives(text) for name, text in content["rules"].items()}
        found = Grammar(content["voice"], content["numbers"], rules)
    except (tomllib.TOMLDecodeError, KeyError) as mistake:
        raise UserError(f"{path} is not a grammar: {mistake}; write it like en.toml") from mistake
    used = {name for alternatives in rules.values() for name in RULE_SLOT.findall(" ".join(alternatives))}
    for name in sorted({"sentence", *used} - rules.keys()):
        raise UserError(f"{path} has no rule '{name}'; add it under [rules]")
    return found


def _alternatives(rule: str) -> list[str]:
    return re.split(r",\s*" if "," in rule else "\n", rule.strip())


def known_languages() -> list[str]:
    """The languages that have a grammar."""
    return sorted(path.stem for path in GRAMMARS.glob("*.toml"))


def sentences(language: str, seed: int = 0) -> Iterator[str]:
    """Draw sentences without end and without repetition, normalised as every transcript of the recipe.

    Raises:
        UserError: the language is unknown, or its grammar has no further sentence.
    """
    known = grammar(language)
    draw = random.Random(f"{language} {seed}")
    return _distinct(lambda: normalise(_expand("{sentence}", known.rules, known.numbers, draw), language), language)


def mixed_sentences(language: str, other: str, seed: int = 0) -> Iterator[str]:
    """Draw sentences of a language that have a phrase in another one, between marks: "anna found <es> la casa </es>".

    A phrase fits where the grammars of both have its rule, so it is one of `common_phrases`, of which there must be
    some. Neither repetition nor an end; not normalised.

    Raises:
        UserError: as `sentences`.
    """
    known, foreign = grammar(language), grammar(other)
    draw = random.Random(f"{language} {other} {seed}")

    def mixed_sentence() -> str:
        rule = draw.choice(common_phrases(language, other))
        phrase = _expand(f"{{{rule}}}", foreign.rules, foreign.numbers, draw)
        rules = {**known.rules, rule: [f"<{other}> {phrase} </{other}>"]}
        sentence = _expand("{sentence}", rules, known.numbers, draw)
        return sentence if len(MARK.findall(sentence)) == 2 else ""

    return _distinct(mixed_sentence, language)


def common_phrases(language: str, other: str) -> list[str]:
    """The rules of phrases that the sentences of either of two languages may have from the other one."""
    return [rule for rule in PHRASES if rule in grammar(language).rules and rule in grammar(other).rules]


def _distinct(draw_sentence: Callable[[], str], language: str) -> Iterator[str]:
    """Sentences of a usual length that have not been drawn before; marks are not words."""
    said: set[str] = set()
    while True:
        for _ in range(GIVE_UP):
            sentence = draw_sentence()
            if sentence not in said and len(MARK.sub(" ", sentence).split()) in WORDS:
                break
        else:
            words = f"{WORDS[0]} to {WORDS[-1]} words"
            raise UserError(f"the grammar of '{language}' has only {len(said)} sentences of {words}; extend it")
        said.add(sentence)
        yield sentence


def _expand(template: str, rules: dict[str, list[str]], numbers: str, draw: random.Random) -> str:
    """Replace each slot by one of its alternatives, down to plain words."""

    def in_words(slot: re.Match) -> str:
        form, first, last = slot.groups(default="cardinal")
        return num2words.num2words(draw.randint(int(first), int(last)), lang=numbers, to=form)

    text = RULE_SLOT.sub(lambda slot: _expand(draw.choice(rules[slot[1]]), rules, numbers, draw), template)
    return NUMBER_SLOT.sub(in_words, text)
