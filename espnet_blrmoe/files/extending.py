"""Adding a language to a trained model: an expert or part in one, a class of the router, the tokens of its texts."""

import logging
from collections.abc import Iterable

import torch

from espnet_blrmoe.files.pruning import BYTE_TOKENS, tokens_of, with_languages_of
from espnet_blrmoe.files.trained_model import build_asr_model
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.rows import append_rows

EXTENDABLE = ("char", "word", "phn")  # token types whose lists can grow; a sentencepiece model's cannot
UNKNOWN_LIMIT = 0.1  # a text with more unknown characters than this is in another script


def add_language(
    config: dict,
    model: BLRMoEModel,
    language: str,
    texts: Iterable[str],
    like: str | None = None,
    group: str | None = None,
) -> tuple[dict, BLRMoEModel]:
    """The larger model's configuration, and that model, untrained in the new language; all old weights are the same.

    Args:
        config: the model's training configuration.
        model: a model trained with CTC only; is used up.
        language: code of the new language.
        texts: its transcripts, whose tokens the model gets too.
        like: a language of the model whose expert and router class are copied; None: fresh ones.
        group: the name of an expert of the model, which the language shares instead of getting one.

    Raises:
        ValueError: the model has a decoder, knows `language` or does not know `like` or `group`, or its tokens cannot
            write the texts.
    """
    if model.decoder is not None:
        raise ValueError("languages can be added to models trained with CTC only; this one has a decoder")
    model.encoder.add_language(language, like, group)
    config = extend_vocabulary(with_languages_of(model, config), model, texts)
    larger = build_asr_model(config)
    larger.load_state_dict(model.state_dict())
    return config, larger


def extend_vocabulary(config: dict, model: BLRMoEModel, texts: Iterable[str]) -> dict:
    """Append the tokens that the newest language's texts need and the model lacks; its larger configuration.

    `model_conf: added_tokens` then says which tokens came with which language. A vocabulary of BPE pieces stays.

    Raises:
        ValueError: more than a tenth of the texts' characters are unknown to a vocabulary of BPE pieces.
    """
    counts, old = tokens_of(config, texts), config["token_list"]
    new = sorted(set(counts) - set(old))
    if config["token_type"] not in EXTENDABLE:
        characters = {token: counts[token] * characters_of(token) for token in counts}
        unknown = {*new, *BYTE_TOKENS.intersection(counts)}  # bytes are tokens, but no longer learn what they spell
        refuse_unknown({token: characters[token] for token in unknown}, sum(characters.values()))
        return config
    if new:
        append_rows(model.ctc.ctc_lo, torch.nn.Linear(model.ctc.ctc_lo.in_features, len(new)))
    added = config["model_conf"].get("added_tokens", {})
    not_original = {*new, *(token for tokens in added.values() for token in tokens)}
    added = {**added, model.languages[-1]: sorted(not_original & set(counts))}
    return {**config, "token_list": [*old, *new], "model_conf": {**config["model_conf"], "added_tokens": added}}


def characters_of(token: str) -> int:
    """How many characters of a text a token stands for; a character's first byte stands for it."""
    if token in BYTE_TOKENS:
        return 0 if 0x80 <= int(token[1:-1], base=16) < 0xC0 else 1
    return len(token)


def refuse_unknown(unknown: dict[str, int], total: int) -> None:
    """Check that few of `total` characters are unknown; `unknown` counts them by piece."""
    number = sum(unknown.values())
    if number == 0:
        return
    most = ", ".join(sorted(unknown, key=unknown.get, reverse=True)[:10])
    message = f"{number} of the texts' {total} characters are unknown to the BPE model, which cannot learn more: {most}"
    if number > UNKNOWN_LIMIT * total:
        raise ValueError(f"{message}; train a model whose BPE pieces cover the language, or one of characters")
    logging.warning(f"{message}; they are not recognised")
