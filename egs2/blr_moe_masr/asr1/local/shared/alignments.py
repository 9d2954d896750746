"""Alignments of a reference and a hypothesis, by words, by characters, and by both as scripts want it."""

import re

import jiwer

from espnet_blrmoe.writing import UNSPACED, split_words
from shared.text_normalization import compose, counted, normalise

HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"


def align_words(reference: str, hypothesis: str, language: str) -> jiwer.WordOutput:
    """Normalise and align two transcripts by words (by characters in scripts without spaces)."""
    return jiwer.process_words(*(" ".join(counted_words(normalise(text, language)))
                                 for text in (reference, hypothesis)))


def counted_words(text: str) -> list[str]:
    """The words of a normalised text as the word error rate counts them."""
    return re.sub(f"([{UNSPACED}])", r" \1 ", counted(text)).split()


def align_characters(reference: str, hypothesis: str, language: str) -> jiwer.CharacterOutput:
    """Normalise and align two transcripts by characters."""
    return jiwer.process_characters(*(counted(normalise(text, language)) for text in (reference, hypothesis)))


def align_mixed(reference: str, hypothesis: str, language: str) -> jiwer.WordOutput:
    """Normalise and align two transcripts by the tokens of the mixed error rate."""
    return jiwer.process_words(*(" ".join(mixed_tokens(normalise(text, language)))
                                 for text in (reference, hypothesis)))


def mixed_tokens(text: str) -> list[str]:
    """The tokens of a normalised text in the mixed error rate: characters with their marks where a script writes no
    spaces between words (Han, kana, Thai, Lao, Burmese, Khmer) and in Hangul, words elsewhere.

        mixed_tokens("我用 python 写") == ["我", "用", "python", "写"]
        mixed_tokens("오늘 meeting 있어요") == ["오", "늘", "meeting", "있", "어", "요"]
    """
    return split_words(re.sub(f"([{HANGUL}])", r" \1 ", compose(counted(text))))


def has_characters(text: str) -> bool:
    """Whether a text has something that the mixed error rate counts by character."""
    return re.search(f"[{UNSPACED}{HANGUL}]", text) is not None
