"""What differs between ESPnet's releases."""

import pytest
import torch

from espnet_blrmoe.bin import asr_inference, asr_train, router_train
from espnet_blrmoe.espnet_internals import CONV_SUBSAMPLINGS
from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.model.subsampling import InputLayer

RENAMED = {"out": "out.0", "out.0": "out"}  # the projection of a front end: 202611, 202511


def as_other_release(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights under the names that the release has which is not installed."""
    here = "out.0" if any(name.endswith("layer.out.0.weight") for name in weights) else "out"
    return {name.replace(f"layer.{here}.", f"layer.{RENAMED[here]}."): value for name, value in weights.items()}


def encoder_of(input_layer: str, seed: int) -> BLRMoEEncoder:
    torch.manual_seed(seed)
    return BLRMoEEncoder(
        40, languages=["en", "de"], output_size=8, attention_heads=2, linear_units=12, num_shared_blocks=1,
        num_moe_blocks=1, input_layer=input_layer, router="linear", router_conf={},
    ).eval()  # fmt: skip


@pytest.mark.parametrize("input_layer", CONV_SUBSAMPLINGS)
def test_weights_load_from_either_release(input_layer):
    trained, fresh = encoder_of(input_layer, 0), encoder_of(input_layer, 1)
    foreign = as_other_release(trained.state_dict())
    assert foreign.keys() != fresh.state_dict().keys()
    given = dict(foreign)
    fresh.load_state_dict(foreign)
    assert foreign.keys() == given.keys()  # the caller's weights stay as they are
    x, lengths = torch.randn(2, 80, 40), torch.tensor([80, 60])
    with torch.no_grad():
        assert fresh(x, lengths)[0].equal(trained(x, lengths)[0])


@pytest.mark.parametrize("input_layer", CONV_SUBSAMPLINGS)
def test_a_checkpoint_of_the_other_release_over_fresh_weights(input_layer):
    """Which is how ESPnet's --init_param loads."""
    trained, fresh = encoder_of(input_layer, 0), encoder_of(input_layer, 1)
    fresh.load_state_dict({**fresh.state_dict(), **as_other_release(trained.state_dict())})
    for name, value in trained.state_dict().items():
        assert fresh.state_dict()[name].equal(value), name


def test_weights_of_neither_release_do_not_load():
    front_end = InputLayer("conv2d", 40, 8, 0.0, 0)
    weights = {name.replace(".out.", ".projection."): value for name, value in front_end.state_dict().items()}
    with pytest.raises(RuntimeError, match="Missing key.*\n.*Unexpected key"):
        front_end.load_state_dict(weights)


def test_the_decoding_program_helps(capsys):
    with pytest.raises(SystemExit) as ended:
        asr_inference.main(["--help"])
    assert ended.value.code == 0
    assert "%%" not in capsys.readouterr().out


@pytest.mark.parametrize("program", [asr_inference, asr_train, router_train])
def test_help_over_espnets_options_begins_with_an_example(program, capsys):
    with pytest.raises(SystemExit):
        program.main(["--help"])
    usage, _, description = capsys.readouterr().out.partition("\n\n")
    assert usage.count("\n") == 0 and usage.startswith("usage: ")
    assert description.startswith(program.__doc__.strip())
