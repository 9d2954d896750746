"""The configuration of a BLR-MoE model that computes what a dense model of ESPnet computes."""

from collections.abc import Sequence

from espnet2.tasks.asr import encoder_choices
from espnet2.utils.get_default_kwargs import get_default_kwargs

from espnet_blrmoe.espnet_internals import CONV_SUBSAMPLINGS
from espnet_blrmoe.language_groups import LanguageGroups
from espnet_blrmoe.languages import parse_languages
from espnet_blrmoe.model.encoder import BLRMoEEncoder

# What becomes of an option of ESPnet's encoders: it goes to encoder_conf or block_conf under its own name, is left out
# since it says how a model learns or how fast it is, not what it computes, or must have one of the values listed.
ENCODER, BLOCK, LEFT_OUT = "encoder_conf", "block_conf", "left out"
FATES: dict[str, str | tuple] = {
    **dict.fromkeys(("output_size", "attention_heads", "linear_units", "num_blocks", "input_layer"), ENCODER),
    **dict.fromkeys(("dropout_rate", "positional_dropout_rate", "attention_dropout_rate"), ENCODER),
    **dict.fromkeys(("macaron_style", "use_cnn_module", "cnn_module_kernel", "activation_type"), BLOCK),
    **dict.fromkeys(("cgmlp_linear_units", "cgmlp_conv_kernel", "use_linear_after_conv", "gate_activation"), BLOCK),
    **dict.fromkeys(("merge_conv_kernel", "use_ffn", "macaron_ffn", "ffn_activation_type", "rel_pos_type"), BLOCK),
    **dict.fromkeys(("layer_drop_rate", "stochastic_depth_rate", "interctc_layer_idx", "max_pos_emb_len"), LEFT_OUT),
    **dict.fromkeys(("gradient_checkpoint_layers", "use_flash_attn", "use_sdpa"), LEFT_OUT),
    **dict.fromkeys(("padding_idx", "positionwise_conv_kernel_size"), LEFT_OUT),  # of layers that cannot be kept
    "pos_enc_layer_type": ("abs_pos", "rel_pos", "legacy_rel_pos"),
    "selfattention_layer_type": ("selfattn", "rel_selfattn", "legacy_rel_selfattn"),  # conformer
    "attention_layer_type": ("selfattn", "rel_selfattn", "legacy_rel_selfattn"),  # e_branchformer
    "normalize_before": (True,),
    "concat_after": (False,),
    "positionwise_layer_type": ("linear", None),
    "qk_norm": (False,),
    "zero_triu": (False,),
    "ctc_trim": (False,),
    "interctc_use_conditioning": (False,),
}
SOURCES = ("transformer", "conformer", "e_branchformer", "blr_moe")  # ours without experts is dense, too
LEGACY_TABLE = 5000  # ESPnet's default of max_pos_emb_len, which enters the values of legacy positions
LOSSES = ("interctc_weight", "aux_ctc")  # of model_conf: of intermediate blocks, which are left out
# Options of our encoder that say which experts there are, and who chooses among them.
OF_EXPERTS = (
    "languages", "experts", "num_shared_blocks", "num_moe_blocks", "attention_experts", "ffn_experts", "expert_rank",
    "router", "router_conf", "router_input", "label_routing",
)  # fmt: skip
# Classes of a BLR-MoE model.
OWN_CLASSES = {"encoder": "blr_moe", "model": "blr_moe", "preprocessor": "blr_moe"}
# Options of a training that say what the model is, and go with it.
OF_MODEL = (
    "input_size", "frontend", "frontend_conf", "normalize", "normalize_conf", "preencoder", "preencoder_conf",
    "postencoder", "postencoder_conf", "ctc_conf", "decoder", "decoder_conf", "token_list", "token_type", "bpemodel",
    "non_linguistic_symbols", "cleaner", "g2p", "use_preprocessor", "speech_volume_normalize",
)  # fmt: skip
# And those that say how it learns, which a further training may change.
OF_LEARNING = ("init", "specaug", "specaug_conf", "preprocessor_conf")


def blr_moe_config(config: dict, experts: dict) -> dict:
    """The configuration of the BLR-MoE model that a dense one becomes; without options of its training.

    Args:
        config: the dense model's.
        experts: options of `encoder_conf` that the dense model lacks: `languages`, `num_shared_blocks` (default: half
            of the blocks), `attention_experts`, `router`, ...; dropout rates may differ from the dense model's.

    Raises:
        ValueError: an option of the dense model cannot be carried over, or one of `experts` would change it; names it.
    """
    own = dense_encoder_conf(config)
    blocks = own.pop("num_blocks")
    shared = experts.get("num_shared_blocks", blocks // 2)
    if isinstance(shared, bool) or not isinstance(shared, int) or not 0 <= shared < blocks:
        raise ValueError(f"num_shared_blocks must be 0 to {blocks - 1} of the dense model's {blocks}, not {shared}")
    own["num_moe_blocks"] = blocks - shared
    of_blocks, own_of_blocks = experts.get("block_conf") or {}, own.pop("block_conf") or {}
    refuse_changes(experts, {name: value for name, value in own.items() if "dropout" not in name}, "encoder_conf")
    refuse_changes(of_blocks, own_of_blocks, "encoder_conf: block_conf")
    languages, block_conf = list(parse_languages(experts["languages"])), {**own_of_blocks, **of_blocks}
    return {
        **OWN_CLASSES,
        "encoder_conf": {
            **own, "num_shared_blocks": shared, **experts, "block_conf": block_conf, "languages": languages
        },  # fmt: skip
        "model_conf": {name: value for name, value in config["model_conf"].items() if name not in LOSSES},
        **{option: config[option] for option in (*OF_MODEL, *OF_LEARNING) if option in config},
    }


def dense_encoder_conf(config: dict) -> dict:
    """Our options for what a dense encoder, one of SOURCES, computes; its number of blocks as `num_blocks`.

    Raises:
        ValueError: an option cannot be carried over; names it.
    """
    encoder, given = config["encoder"], config["encoder_conf"]
    if encoder == "blr_moe":
        return _without_experts(given)
    options = {**_defaults(encoder), **given}
    for option, value in options.items():
        fate = FATES.get(option)
        if fate is None:
            raise ValueError(f"encoder_conf: {option}: {value} cannot be carried over; this version does not know it")
        if isinstance(fate, tuple) and value not in fate:
            raise ValueError(f"encoder_conf: {option}: {value} cannot be carried over; it must be {_one_of(fate)}")
    # A Transformer without a front end adds no positions; a linear one of the others has no activation.
    known = [*CONV_SUBSAMPLINGS, "linear" if encoder == "transformer" else None]
    if options["input_layer"] not in known:
        wanted = f"it must be {_one_of(known)}"
        raise ValueError(f"encoder_conf: input_layer: {options['input_layer']} cannot be carried over; {wanted}")
    if encoder != "transformer":
        options["rel_pos_type"] = _rel_pos_type(options)
    elif options["pos_enc_layer_type"] == "abs_pos":
        options["activation_type"] = "relu"  # which is no option of ESPnet's
    else:
        raise ValueError(f"encoder_conf: pos_enc_layer_type: {options['pos_enc_layer_type']} cannot be carried over")
    block_conf = {option: value for option, value in options.items() if FATES[option] == BLOCK}
    own = {option: value for option, value in options.items() if FATES[option] == ENCODER}
    return {**own, "block_type": encoder, "block_conf": block_conf}


def computed(config: dict) -> dict:
    """A dense model's configuration without what is left out of its encoder, for building it: ESPnet's releases do not
    know each other's, and a number among them may be one that no memory holds."""
    encoder_conf = {name: value for name, value in config["encoder_conf"].items() if FATES.get(name) != LEFT_OUT}
    return {**config, "encoder_conf": encoder_conf}


def left_out(config: dict) -> list[str]:
    """What a dense model's configuration has that says how it learned and does not go with it, as `option: value`."""
    if config["encoder"] == "blr_moe":
        return []
    usual = _defaults(config["encoder"])
    options = {name: value for name, value in config["encoder_conf"].items() if FATES.get(name) == LEFT_OUT}
    options |= {name: config["model_conf"].get(name) for name in LOSSES}
    return [f"{name}: {value}" for name, value in options.items() if value and value != usual.get(name)]


def check_training(training: dict) -> None:
    """Check that the options of --config are those of a training of BLR-MoE.

    Raises:
        ValueError: one names another class, or is no mapping where there has to be one.
    """
    for option, own in OWN_CLASSES.items():
        if training.get(option, own) != own:
            raise ValueError(
                f"{option}: {training[option]} is not {own}; give the configuration of the training that follows, such "
                "as conf/train_from_dense.yaml, not the dense model's"
            )
        refuse_changes(training.get(f"{option}_conf", {}), {}, f"{option}_conf")


def refuse_changes(given: dict, own: dict, where: str = "") -> None:
    """Check that options which somebody gives have the dense model's values, where they are the dense model's.

    Args:
        given: options; those that `own` lacks may have any value.
        own: options of the dense model.
        where: the mapping that they are in.

    Raises:
        ValueError: one has another value, or `given` is no mapping; names it.
    """
    if not isinstance(given, dict):
        raise ValueError(f"{where} must be options and their values, not {given!r}")
    for option, value in given.items():
        name = f"{where}: {option}" if where else option
        if option not in own or value == own[option]:
            continue
        if not (isinstance(value, dict) and isinstance(own[option], dict)):
            raise ValueError(f"{name}: {value} is not the dense model's {own[option]}, which stays; leave it out")
        refuse_changes(value, dict.fromkeys(value) | own[option], name)


def _without_experts(given: dict) -> dict:
    """The options of our own encoder, if it is a dense one: with a single expert, or without experts."""
    options = {**get_default_kwargs(BLRMoEEncoder), **given}
    has_experts = options["attention_experts"] or options["ffn_experts"]
    if has_experts and len(LanguageGroups.of(options["experts"], options.get("languages", ())).experts) > 1:
        raise ValueError("encoder_conf: attention_experts or ffn_experts: the model has experts already")
    blocks = options["num_shared_blocks"] + options["num_moe_blocks"]
    return {name: value for name, value in options.items() if name not in OF_EXPERTS} | {"num_blocks": blocks}


def _rel_pos_type(options: dict) -> str | None:
    """Our option for how the attention of a Conformer or E-Branchformer learns where frames are."""
    encoding = options["pos_enc_layer_type"]
    attention = options.get("selfattention_layer_type") or options["attention_layer_type"]
    if (encoding, attention) == ("abs_pos", "selfattn"):
        return None
    if "abs_pos" == encoding or "selfattn" == attention:
        raise ValueError(f"encoder_conf: pos_enc_layer_type: {encoding} with {attention} cannot be carried over")
    if options["rel_pos_type"] == "latest":
        return "latest"
    if options["max_pos_emb_len"] != LEGACY_TABLE:
        raise ValueError(
            f"encoder_conf: max_pos_emb_len: {options['max_pos_emb_len']} cannot be carried over with legacy "
            f"positions; it must be {LEGACY_TABLE}"
        )
    return "legacy"


def _defaults(encoder: str) -> dict:
    """ESPnet's defaults of an encoder's options."""
    return get_default_kwargs(encoder_choices.get_class(encoder))


def _one_of(values: Sequence) -> str:
    return " or ".join(map(str, values))
