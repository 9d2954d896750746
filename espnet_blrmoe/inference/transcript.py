"""What recognition gives back."""

from dataclasses import dataclass, field

from espnet_blrmoe.espnet_internals import Hypothesis

NBest = list[tuple[str, list[str], list[int], Hypothesis]]  # ESPnet's: text, tokens, token ids, Hypothesis


@dataclass(frozen=True)
class LanguageSpan:
    """A stretch of speech whose frames went to one language.

    Attributes:
        start, end: seconds.
        language: code.
    """

    start: float
    end: float
    language: str


@dataclass(frozen=True)
class Word:
    """A recognised word; in scripts without spaces, a character or what the model has as one token.

    Attributes:
        start, end: seconds, from its first letter to its last, as the CTC aligns them.
        text: in scripts without spaces, as above.
        confidence: from 0 to 1: the product of the probabilities that the CTC gives its tokens, calibrated where the
            model has a calibration (espnet_blrmoe.bin.calibrate), but not in streams. 0.0 where a decoder has
            found a text that the CTC cannot align: then the words are spread evenly over their chunk.
        language: of most of its frames.
    """

    start: float
    end: float
    text: str
    confidence: float
    language: str


@dataclass(frozen=True)
class Chunk:
    """A piece of a recording, which is recognised by itself, or a pause.

    Attributes:
        start, end: seconds.
        text: what was recognised in it; empty without speech.
        language: its detected language; None without speech.
        language_probability: the router's probability of it, averaged over the chunk's frames, under the prior; 0.0
            without speech.
    """

    start: float
    end: float
    text: str
    language: str | None
    language_probability: float


@dataclass(frozen=True)
class Transcript:
    """What was recognised in one utterance or file. Two are equal if all but their hypotheses, which hold tensors, is.

    Attributes:
        text: the best hypothesis; those of several chunks with a space between; empty where nobody speaks.
        language: the detected language: the most probable over all frames; None where nobody speaks.
        language_probability: the router's probability of it, averaged over the frames, under the prior; 0.0 where
            nobody speaks.
        timeline: the language of every stretch of speech, in time order; chunks without speech are gaps. Empty if it
            was not asked for.
        frames: encoder frames of each language, in the model's order of languages; of chunks with speech.
        hypotheses: ESPnet's n-best list of (text, tokens, token ids, Hypothesis); of several chunks with speech, also
            where a short recording is recognised in parts, one hypothesis: their best, joined by the token of a space,
            if the model has one.
        chunks: the audio in pieces, without gaps: speech of at most `chunk_seconds`, and pauses of any length.
        words: those of `text`, in time order; of a model without CTC, none.
    """

    text: str
    language: str | None
    language_probability: float
    timeline: tuple[LanguageSpan, ...]
    frames: dict[str, int]
    hypotheses: NBest = field(compare=False)
    chunks: tuple[Chunk, ...]
    words: tuple[Word, ...]


@dataclass(frozen=True)
class StreamPart:
    """What came out of a stream at one time.

    Attributes:
        start, end: seconds of the audio that it tells of; the part before ended where this one starts.
        text: all that was recognised since the stream began.
        final: the beginning of `text` to which nothing will be added: all but the last word, until the stream ends.
        words: what was added to `final`; their times are those at which their tokens were heard, which is not before
            they were said.
        language: now: the most probable one over the frames of this part; None where it has none.
        language_probability: the router's probability of it, averaged over those frames, under the allowed languages;
            0.0 where there are none.
        timeline: the language of every stretch of this part, in time order: a switch shows at its time.
    """

    start: float
    end: float
    text: str
    final: str
    words: tuple[Word, ...]
    language: str | None
    language_probability: float
    timeline: tuple[LanguageSpan, ...]
