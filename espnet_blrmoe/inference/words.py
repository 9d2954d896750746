"""When each word is said, how sure the CTC is of it, and in which language it is.

T encoder frames, V tokens.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import mode

import torch
from torchaudio.functional import TokenSpan, forced_align, merge_tokens

from espnet_blrmoe.inference.confidence import Calibration
from espnet_blrmoe.inference.transcript import Word
from espnet_blrmoe.writing import split_words

ToText = Callable[[Sequence[str]], str]  # of tokens
SPACES = "<space>", "▁"  # what tokens that are characters, and sentencepiece's, have for a space


def words_of(
    tokens: Sequence[str],
    spans: Sequence[TokenSpan],
    to_text: ToText,
    languages: Sequence[str],
    start: float,
    seconds_per_frame: float,
    calibration: Calibration = Calibration(),
) -> tuple[Word, ...]:
    """The words of a chunk.

    Args:
        tokens: of the chunk's text.
        spans: where they are; see `aligned`.
        to_text: makes text of tokens.
        languages: (T,), of the frames.
        start: of the chunk in the recording, in seconds.
        seconds_per_frame: of an encoder frame.
        calibration: makes confidences of the words' probabilities.
    """
    words = []
    for positions in positions_of_words(tokens, to_text):
        own = [spans[position] for position in positions]
        first, last = own[0].start, own[-1].end
        begin, end = (round(start + frame * seconds_per_frame, 3) for frame in (first, last))
        text = " ".join(to_text([tokens[position] for position in positions]).split())
        confidence = calibration.of(math.exp(sum(span.score for span in own)))
        words.append(Word(begin, end, text, confidence, mode(languages[first:last])))
    return tuple(words)


def aligned(log_probs: torch.Tensor, token_ids: Sequence[int], blank: int) -> list[TokenSpan]:
    """The frames of each token on the CTC's most probable path through them, and its mean log-probability there.

    Where there are too few frames for the tokens, which a decoder may find all the same, they are spread evenly, with
    log-probabilities of minus infinity.

    Args:
        log_probs: (T, V).
        token_ids: none of them is the blank.
        blank: the blank's id.
    """
    if not token_ids:
        return []
    frames, tokens = len(log_probs), len(token_ids)
    repeated = sum(token == before for before, token in zip(token_ids, token_ids[1:]))
    if frames < tokens + repeated:
        starts = [position * frames // tokens for position in range(tokens)]
        ends = [max(start + 1, (position + 1) * frames // tokens) for position, start in enumerate(starts)]
        return [TokenSpan(*span, -math.inf) for span in zip(token_ids, starts, ends)]
    paths, scores = forced_align(log_probs.float().cpu().unsqueeze(0), torch.tensor([token_ids]), blank=blank)
    return merge_tokens(paths[0], scores[0], blank)


def join_tokens(texts: Iterable[Sequence[str]], token_list: Sequence[str]) -> list[str]:
    """The tokens of several texts, with the model's for a space between, if it has one and neither text brings it.

    Args:
        texts: of tokens; those without any are left out.
        token_list: the model's.
    """
    space = next((space for space in SPACES if space in token_list), None)
    joined: list[str] = []
    for tokens in filter(None, texts):
        if joined and space is not None and not joined[-1].endswith(space) and not tokens[0].startswith(space):
            joined.append(space)
        joined += tokens
    return joined


def positions_of_words(tokens: Sequence[str], to_text: ToText) -> list[list[int]]:
    """The positions of each word's tokens, spaces left out.

    What a word is, the text says and not the kind of tokens: a token goes on with a word if both together are not more
    words than that alone. A token of several characters of a script without spaces is one word.
    """

    def count(positions: list[int]) -> int:
        return len(split_words(to_text([tokens[position] for position in positions])))

    words: list[list[int]] = []
    for position in range(len(tokens)):
        if words and count([*words[-1], position]) <= max(1, count(words[-1])):
            words[-1].append(position)
        else:
            words.append([position])
    spoken = ([position for position in word if to_text([tokens[position]]).strip()] for word in words)
    return [word for word in spoken if word]
