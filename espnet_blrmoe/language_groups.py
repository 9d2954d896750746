"""Groups of languages that share an expert (`encoder_conf: experts`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from espnet_blrmoe.languages import parse_languages


@dataclass(frozen=True)
class LanguageGroups:
    """A model's languages, and which of them share an expert.

    Attributes:
        languages: their codes, in order.
        names: of the expert of each language: its group's name, or, in no group, the language's own.
    """

    languages: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, given: Mapping[str, str | Sequence[str]] | None, languages: str | Sequence[str]
    ) -> "LanguageGroups":
        """Read what people write.

        Args:
            given: {"romance": ["es", "pt"]}: the groups, by name; None: there are none.
            languages: all of the model, see `parse_languages`.

        Raises:
            ValueError: a language is listed twice, there are no groups by name, or one is empty, has a language that is
                unknown or in another group, or the name of a language that is not in it.
        """
        languages = parse_languages(languages)
        if given is not None and not isinstance(given, Mapping):
            example = "{romance: [es, pt]}"
            raise ValueError(f"encoder_conf: experts must be groups by name, as in {example}, not {given!r}")
        group_of: dict[str, str] = {}
        for name, codes in (given or {}).items():
            for code in _languages_of_group(name, codes, languages):
                if code in group_of:
                    both = f"{group_of[code]!r} and {name!r}"
                    raise ValueError(f"encoder_conf: experts: {code!r} is in two groups, {both}; take it out of one")
                group_of[code] = name
        return cls(languages, tuple(group_of.get(code, code) for code in languages))

    def __str__(self) -> str:
        named = self.named()
        return ", ".join(f"{name} ({', '.join(named[name])})" if name in named else name for name in self.experts)

    @property
    def experts(self) -> tuple[str, ...]:
        """The names of the experts, in the order of their first languages."""
        return tuple(dict.fromkeys(self.names))

    @property
    def expert_of(self) -> tuple[int, ...] | None:
        """The place of each language's expert among the experts; None where every language has an expert of its own."""
        place = {name: n for n, name in enumerate(self.experts)}
        return None if len(place) == len(self.names) else tuple(place[name] for name in self.names)

    @property
    def labels(self) -> list[str]:
        """Every language in order: "es", or "es of romance" in a group."""
        return [code if code == name else f"{code} of {name}" for code, name in zip(self.languages, self.names)]

    def named(self) -> dict[str, list[str]]:
        """What `of` reads: the groups; without languages that have an expert of their own and of their name."""
        members: dict[str, list[str]] = {}
        for code, name in zip(self.languages, self.names):
            members.setdefault(name, []).append(code)
        return {name: codes for name, codes in members.items() if codes != [name]}

    def cut_down(self, kept: Sequence[int]) -> "LanguageGroups":
        """What is left of them with the languages of these places."""
        return LanguageGroups(tuple(self.languages[n] for n in kept), tuple(self.names[n] for n in kept))

    def with_one_more(self, language: str, group: str | None) -> "LanguageGroups":
        """What they become with a further language, after the others.

        Args:
            language: its code.
            group: the name of the expert that it shares; None: it gets one of its own, after the others.

        Raises:
            ValueError: there is no such expert, or another group has the language's name.
        """
        if group is not None and group not in self.names:
            raise ValueError(f"no expert is called {group!r}; the model's are {self}")
        if group is None and language in self.names:
            raise ValueError(f"a group is called {language!r} already; join it with --group {language}")
        return LanguageGroups((*self.languages, language), (*self.names, group or language))


def _languages_of_group(name: str, codes: str | Sequence[str], languages: Sequence[str]) -> tuple[str, ...]:
    """The languages of one group.

    Raises:
        ValueError: see LanguageGroups.of.
    """
    if not isinstance(name, str):  # YAML reads Norwegian's no as false
        raise ValueError(f"encoder_conf: experts: the name {name!r} is not a string; put it in quotation marks")
    if not isinstance(codes, str | Sequence):
        raise ValueError(f"encoder_conf: experts: {name!r} must be a list of languages, not {codes!r}")
    try:
        own = parse_languages(codes, languages)
    except ValueError as error:
        raise ValueError(f"encoder_conf: experts: {name!r}: {error}") from error
    if name in languages and name not in own:
        raise ValueError(f"encoder_conf: experts: language {name!r} is not in the group of its name; rename the group")
    return own
