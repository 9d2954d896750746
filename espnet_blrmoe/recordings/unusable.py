"""What is said of audio that cannot be used."""

import shlex


class UnusableAudio(ValueError):
    """Audio that cannot be used; the sentence names the file.

    Attributes:
        reason: the same in a word or two, by which such files can be counted.
    """

    def __init__(self, sentence: str, reason: str = "unusable"):
        super().__init__(sentence)
        self.reason = reason


def unreadable(path: str, why: str = "it is damaged, or in a format that is not read here") -> UnusableAudio:
    """For a file in which nothing can be read."""
    return UnusableAudio(f"{path} cannot be read as audio: {why}; {_convert(path)}", "unreadable")


def cut_off(path: str, why: str) -> UnusableAudio:
    """For a file whose end is missing."""
    return UnusableAudio(f"{path} is cut off: {why}; get it again, or, for what is left, {_convert(path)}", "cut off")


def damaged(path: str, why: str) -> UnusableAudio:
    """For a file of which a part cannot be read."""
    return UnusableAudio(f"{path} is damaged: {why}; get it again, or, for what is left, {_convert(path)}", "damaged")


def _convert(path: str) -> str:
    return f"convert it: ffmpeg -i {shlex.quote(path)} new.wav"
