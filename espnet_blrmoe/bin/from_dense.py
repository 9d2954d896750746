"""Make a BLR-MoE model of a trained dense one of ESPnet: every dense matrix is copied into all experts.

    python -m espnet_blrmoe.bin.from_dense --model exp/dense --languages de,en,es,pt --output_dir exp/from_dense
    python -m espnet_blrmoe.bin.from_dense --model exp/dense --languages de,en,es,pt --output_dir exp/start \\
        --config conf/train_from_dense.yaml

write OUTPUT_DIR/config.yaml and OUTPUT_DIR/model.pth, which recognise what the dense model recognises, whatever the
router says; that is checked on random audio before anything is written. The router is new and knows nothing yet.
--config is the configuration of a training that will go on from there: the experts and router are those of its
encoder_conf, and OUTPUT_DIR/config.yaml has its options too. docs/from_dense.md says how to train with it.
"""

import argparse
import sys
from itertools import zip_longest
from pathlib import Path

from espnet2.utils.nested_dict_action import NestedDictAction
from humanfriendly import format_size

from espnet_blrmoe.files.model_files import add_model_options, find_dense_model
from espnet_blrmoe.files.output_folder import check_new
from espnet_blrmoe.program import command, start

HEAD = ("parameters", "tensors", "elements", "what became of them")


def get_parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_argument_group("The dense model")
    add_model_options(group)
    group.add_argument("--model_tag", metavar="MODEL", help="or instead: packed file, URL, or name of a shared model")
    group = parser.add_argument_group("The new model")
    group.add_argument("--languages", required=True, help="its languages, for example en,de")
    group.add_argument("--num_shared_blocks", type=int, help="first blocks, without experts (default: half of them)")
    group.add_argument("--attention_experts", help="projections with experts: any of q, k, v, o (default: vo)")
    group.add_argument("--ffn_experts", choices=("true", "false"), help="in feed-forward modules, too (default: true)")
    group.add_argument("--router", help="tdnn, linear, or a class's dotted path (default: tdnn)")
    group.add_argument("--encoder_conf", action=NestedDictAction, default={}, metavar="OPTION=VALUE",
                       help="further options, for example router_input=shared or experts.romance=[es,pt]")
    group.add_argument("--config", metavar="FILE", help="training configuration: the defaults of all these options")
    group.add_argument("--token_list", metavar="FILE", help="tokens that the dense model must have, one a line")
    group.add_argument("--output_dir", type=Path, required=True, help="folder to write; must not exist yet")
    return parser  # fmt: skip


def main(cmd: list[str] | None = None) -> None:
    """Make the model; a mistake in the options or files ends in one sentence."""
    args = get_parser().parse_args(cmd)
    try:
        make(args)
    except (ValueError, OSError) as error:
        sys.exit(f"{command('from_dense')}: {error}")


def make(args: argparse.Namespace) -> None:
    """Read the dense model, make the new one, compare them, write.

    Raises:
        ValueError, OSError: a file is missing, damaged or hostile, the model is none that can be given experts, an
            option does not fit it, the two models differ, the folder exists or cannot be written, or there is no room.
    """
    check_new(args.output_dir)
    files = find_dense_model(args)

    from espnet_blrmoe.files.dense_models import load_dense_model, read_dense_config
    from espnet_blrmoe.files.dense_options import left_out
    from espnet_blrmoe.files.from_dense import from_dense, prove_equal, summarised
    from espnet_blrmoe.files.trained_model import write_new_model
    from espnet_blrmoe.tables import text_table

    dense_config = read_dense_config(files.config, is_shared=bool(args.model_tag))
    if args.token_list:
        check_tokens(dense_config, files.config, args.token_list)
    dense = load_dense_model(dense_config, files)
    config = new_config(args, dense_config)
    model, fates = from_dense(dense, config)
    difference = prove_equal(dense, model, dense_config)
    written = write_new_model(config, model.state_dict(), args.output_dir)
    print(text_table(HEAD, summarised(fates)))
    for option in left_out(dense_config):
        print(f"left out, since it matters in training only: {option}")
    before, after = (format_size(own.weights.stat().st_size) for own in (files, written))
    print(f"largest difference of the two models' outputs on random audio, whatever the routing: {difference:.1e}")
    print(f"{args.output_dir}: languages {', '.join(model.languages)}; {after} from {before}")


def new_config(args: argparse.Namespace, dense_config: dict) -> dict:
    """The new model's configuration: what it computes is the dense model's, the rest is --config's and the options'.

    Raises:
        ValueError: --config is missing or malformed, or the configurations or an option do not fit.
    """
    from espnet_blrmoe.files.dense_options import OF_MODEL, blr_moe_config, check_training, refuse_changes
    from espnet_blrmoe.training.asr_task import BLRMoETask
    from espnet_blrmoe.training.config_files import over, read_options

    training = {}
    if args.config:
        training = read_options(args.config, {action.dest for action in BLRMoETask.get_parser()._actions})
    try:
        check_training(training)
        experts = over(training.pop("encoder_conf", {}), expert_options(args))
        refuse_changes(training, {option: dense_config.get(option) for option in OF_MODEL})
        return over(blr_moe_config(dense_config, experts), training)
    except ValueError as error:
        raise ValueError(f"{args.config}: {error}" if args.config else str(error)) from error


def expert_options(args: argparse.Namespace) -> dict:
    """The options of `encoder_conf` that the command line gives."""
    given = {name: getattr(args, name) for name in ("languages", "num_shared_blocks", "attention_experts", "router")}
    given["ffn_experts"] = {"true": True, "false": False}.get(args.ffn_experts)
    return args.encoder_conf | {name: value for name, value in given.items() if value is not None}


def check_tokens(dense_config: dict, config_file: Path, token_list: str) -> None:
    """Check that the dense model has the tokens of a file.

    Raises:
        ValueError: it has others, of which the first is named; or the file is no text.
    """
    try:
        with open(token_list, encoding="utf-8") as lines:
            tokens = [line[0] + line[1:].rstrip() for line in lines]  # as ESPnet does: a token may be a kind of space
    except UnicodeDecodeError as error:
        raise ValueError(f"{token_list} is not text in UTF-8: {error.reason}") from error
    known = dense_config["token_list"]
    for n, (token, own) in enumerate(zip_longest(tokens, known), start=1):
        if token != own:
            raise ValueError(
                f"{token_list}:{n} has token {token!r} where {config_file} has {own!r}; train with the dense model's "
                "tokens, which stay"
            )


if __name__ == "__main__":
    start(main)
