"""Physical pruning: a smaller model that knows some of a model's languages (paper section "Expert pruning")."""

from collections import Counter
from collections.abc import Iterable, Sequence

from espnet2.text.build_tokenizer import build_tokenizer
from espnet2.text.cleaner import TextCleaner

from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.rows import keep_rows

# Of a sentencepiece model: what it writes for characters without a piece, and its mark of a space.
BYTE_TOKENS = frozenset(f"<0x{byte:02X}>" for byte in range(256))
SPACE_TOKEN = "\u2581"


def prune_languages(config: dict, model: BLRMoEModel, languages: str | Sequence[str]) -> dict:
    """Remove the experts that no other language has from the model, and return the smaller model's configuration.

    Tokens that only came with those languages go with them.

    Args:
        config: the model's training configuration.
        model: is changed.
        languages: languages to keep.

    Raises:
        ValueError: no language, or an unknown one.
    """
    model.encoder.keep_languages(languages)
    config = with_languages_of(model, config)
    foreign = model.foreign_tokens(model.languages)
    return _keep_tokens(config, model, [n for n in range(len(config["token_list"])) if n not in foreign])


def with_languages_of(model: BLRMoEModel, config: dict) -> dict:
    """The configuration with the model's languages, and the groups that share an expert, if there are any."""
    encoder_conf = {name: value for name, value in config["encoder_conf"].items() if name != "experts"}
    encoder_conf["languages"] = list(model.languages)
    if groups := model.encoder.groups.named():
        encoder_conf["experts"] = groups
    return {**config, "encoder_conf": encoder_conf}


def prune_vocabulary(config: dict, model: BLRMoEModel, texts: Iterable[str]) -> dict:
    """Remove the tokens that the texts do not use from a CTC model, and return the smaller model's configuration.

    The bytes of a sentencepiece model stay, so that it still has tokens for every character.

    Args:
        config: the model's training configuration.
        model: is changed.
        texts: transcripts of the languages that the model keeps.

    Raises:
        ValueError: the model has a decoder, whose vocabulary this cannot prune.
    """
    if model.decoder is not None:
        raise ValueError("the vocabulary of a model with a decoder cannot be pruned; leave out --text")
    used = tokens_of(config, texts)
    special = {model.blank_id, model.sos, model.eos}
    tokens = config["token_list"]
    needed = {"<unk>", SPACE_TOKEN, *BYTE_TOKENS, *used}
    kept = [n for n, token in enumerate(tokens) if n in special or token in needed]
    return _keep_tokens(config, model, kept)


def tokens_of(config: dict, texts: Iterable[str]) -> Counter[str]:
    """The tokens of texts, cleaned and tokenized as the configuration's training does it, and how often each occurs."""
    tokenizer = build_tokenizer(
        config["token_type"],
        config.get("bpemodel"),
        space_symbol="<space>",
        non_linguistic_symbols=config.get("non_linguistic_symbols"),
        g2p_type=config.get("g2p"),
    )
    clean = TextCleaner(config.get("cleaner"))
    return Counter(token for text in texts for token in tokenizer.text2tokens(clean(text)))


def _keep_tokens(config: dict, model: BLRMoEModel, kept: list[int]) -> dict:
    """Forget all tokens but these, and which tokens were added with languages that the model no longer has."""
    tokens = [config["token_list"][n] for n in kept]
    if len(kept) < len(config["token_list"]):
        keep_rows(model.ctc.ctc_lo, kept)
    model_conf = dict(config["model_conf"])
    if "added_tokens" in model_conf:
        model_conf["added_tokens"] = {
            language: [token for token in added if token in tokens]
            for language, added in model_conf["added_tokens"].items()
            if language in model.languages
        }
    return {**config, "token_list": tokens, "model_conf": model_conf}
