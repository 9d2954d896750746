"""A stream, chunk by chunk, is encoded as the whole utterance under the same chunks."""

import copy
from functools import cache

import numpy as np
import pytest
import torch
from dense import write_statistics
from encoders import BLOCK_CONFS, BLOCK_TYPES
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CONFIG, RATE, build_model, one_sentence, sound_of, write_training_config

from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.attention import RelPositionSelfAttention
from espnet_blrmoe.model.chunks import Chunking
from espnet_blrmoe.model.prior import LanguageChoice, LanguagePrior
from espnet_blrmoe.model.streaming import StreamingEncoder, StreamState
from espnet_blrmoe.training.router_task import RouterModel

TDNN = {"channels": 8, "layers": 2, "dropout_rate": 0.0}
ROUTERS = {
    "linear": {"router": "linear", "router_conf": {}},
    "tdnn": {"router": "tdnn", "router_conf": TDNN},
    "causal": {"router": "tdnn", "router_conf": {**TDNN, "causal": True}},
}
STREAM = settings(max_examples=12)


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """Builds models, each once, of these options of the encoder, as if trained."""

    @cache
    def build(
        block_type: str = "conformer",
        router: str = "tdnn",
        router_input: str = "shared",
        sharing: str = "",
        normalize: str | None = None,
    ) -> BLRMoEModel:
        folder = tmp_path_factory.mktemp("model")
        further = write_statistics(folder / "feats_stats.npz", normalize) if normalize else {}
        options = {"block_type": block_type, "block_conf": BLOCK_CONFS.get(block_type), "router_input": router_input}
        options["experts"] = {"shared": sharing} if sharing else None
        encoder_conf = {**CONFIG["encoder_conf"], **options, **ROUTERS[router], "chunk_sizes": [4, None]}
        model = build_model(write_training_config(folder, encoder_conf=encoder_conf, **further)).eval()
        for name, buffer in model.named_buffers():
            if "running_" in name:
                torch.nn.init.uniform_(buffer, 0.5, 2.0)
        return model

    return build


def streaming_encoder(model: BLRMoEModel, size: int, left: int, window: int) -> StreamingEncoder:
    encoder = StreamingEncoder(model, size, window)
    encoder.chunking = Chunking(size, left)
    return encoder


def streamed(
    encoder: StreamingEncoder, wave: torch.Tensor, prior: LanguagePrior | None = None
) -> dict[str, torch.Tensor]:
    """What comes out of a stream, (T, ...), chunk by chunk."""
    state, chunks, start = encoder.begin(), [], 0
    frames = encoder.frames_in(len(wave)) or 1  # something shorter than a frame is one, with silence behind
    while frames or start == 0:
        own = torch.nn.functional.pad(wave[start : start + encoder.samples], (0, encoder.samples))[: encoder.samples]
        chunk, state = encoder.encode(own.unsqueeze(0), torch.tensor([frames]), state, prior)
        chunks.append(chunk)
        start += encoder.step
        frames = encoder.frames_in(len(wave) - start)
    for _ in range(encoder.delay // encoder.chunking.size):
        chunk, state = encoder.encode(torch.zeros(1, encoder.samples), torch.tensor([0]), state, prior)
        chunks.append(chunk)
    valid = torch.cat([chunk.routing.valid[0] for chunk in chunks])
    parts = {
        "frames": torch.cat([chunk.frames[0] for chunk in chunks]),
        "language": torch.cat([chunk.routing.language[0] for chunk in chunks]),
        "probs": torch.cat([chunk.routing.log_probs[0].exp() for chunk in chunks]),
    }
    assert (parts["frames"][~valid] == 0).all()
    return {name: part[valid] for name, part in parts.items()}


def whole(encoder: StreamingEncoder, wave: torch.Tensor, prior: LanguagePrior | None = None):
    """What the whole utterance gives under the same chunks."""
    choice = LanguageChoice(prior, encoder.choice.window, looks_back=True)
    with torch.no_grad():
        encoded, _, routing = encoder.model.encode_with_routing(
            wave[None], torch.tensor([len(wave)]), choice, encoder.chunking
        )
    return {"frames": encoded[0], "language": routing.language[0], "probs": routing.log_probs[0].exp()}


def assert_same(stream: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert stream["language"].equal(expected["language"])
    torch.testing.assert_close(stream["frames"], expected["frames"], atol=1e-5, rtol=1e-5)
    # Logits of the tiny model are in the hundreds.
    torch.testing.assert_close(stream["probs"], expected["probs"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("router_input", ["features", "subsampled", "shared"])
@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_a_stream_is_encoded_as_the_whole_utterance(model_of, block_type, router, router_input):
    model = model_of(block_type, router, router_input)

    @STREAM
    @given(
        samples=st.integers(1, 3 * RATE), size=st.integers(1, 12), left=st.integers(0, 20),
        window=st.sampled_from([1, 3, 7]), seed=st.integers(0, 1000),
    )  # fmt: skip
    def check(samples, size, left, window, seed):
        wave = torch.from_numpy(sound_of(samples / RATE, seed))
        encoder = streaming_encoder(model, size, left, window)
        assert_same(streamed(encoder, wave), whole(encoder, wave))

    check()


@STREAM
@given(samples=st.integers(1, 6 * RATE), size=st.integers(1, 12), seed=st.integers(0, 1000))
def test_features_may_be_normalised_by_a_running_mean(model_of, samples, size, seed):
    wave = torch.from_numpy(sound_of(samples / RATE, seed))
    encoder = streaming_encoder(model_of(normalize="running_mvn"), size, left=8, window=3)
    assert_same(streamed(encoder, wave), whole(encoder, wave))


@pytest.mark.parametrize("sharing", ["en,zh-CN", "en,de,zh-CN"])
def test_languages_may_share_an_expert(model_of, sharing):
    encoder = streaming_encoder(model_of(sharing=sharing), size=4, left=8, window=3)
    wave = torch.from_numpy(sound_of(3.0, seed=0))
    expected = whole(encoder, wave)
    assert len(expected["language"].unique()) > 1
    assert_same(streamed(encoder, wave), expected)


def test_streams_together_are_encoded_as_alone(model_of):
    model = model_of()
    encoder = StreamingEncoder(model, 4)
    state = StreamState.joined([encoder.begin()] * 3)
    waves = torch.from_numpy(np.stack([sound_of(4.0, seed) for seed in range(3)]))
    together, alone = [], []
    for chunk in range(6):
        own = waves[:, chunk * encoder.step :][:, : encoder.samples]
        encoded, state = encoder.encode(own, torch.tensor([4, 4, 4]), state)
        together.append(encoded.frames)
    for wave in waves:
        alone.append(streamed(encoder, wave)["frames"])
    encoded = torch.cat(together, dim=1)[:, encoder.delay :]
    for own, expected in zip(encoded, alone):
        torch.testing.assert_close(own, expected[: len(own)], atol=1e-5, rtol=1e-5)
    first, *_ = state.split()
    assert all(len(tensor) == 1 and tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in first.remembered)


def test_a_state_is_never_changed(model_of):
    encoder = StreamingEncoder(model_of(), 4)
    wave = torch.from_numpy(sound_of(4.0, 0))[None, : encoder.samples]
    _, state = encoder.encode(wave, torch.tensor([4]), encoder.begin())
    before = [tensor.clone() for tensor in state.remembered]
    first, _ = encoder.encode(wave, torch.tensor([4]), state)
    again, _ = encoder.encode(wave, torch.tensor([4]), state)
    assert first.frames.equal(again.frames)
    assert all(tensor.equal(kept) for tensor, kept in zip(state.remembered, before))


def test_no_chunk_projects_positions_again(model_of):
    model = model_of()
    encoder, calls = StreamingEncoder(model, 4), []
    attentions = [module for module in model.modules() if isinstance(module, RelPositionSelfAttention)]
    hooks = [own.linear_pos.register_forward_hook(lambda *_: calls.append(1)) for own in attentions]
    encoder.encode(torch.zeros(1, encoder.samples), torch.tensor([4]), encoder.begin())
    for hook in hooks:
        hook.remove()
    assert attentions and not calls


def test_a_stream_takes_its_allowed_languages_into_account(model_of):
    model = model_of()
    encoder, wave = StreamingEncoder(model, 4), torch.from_numpy(sound_of(2.0, 0))
    for codes, penalty in ((["de"], float("inf")), (["en", "zh-CN"], 2.0)):
        prior = LanguagePrior.allow([codes], model.languages, penalty)
        assert_same(streamed(encoder, wave, prior), whole(encoder, wave, prior))


def test_nothing_beyond_a_chunk_and_what_the_router_reads_ahead_is_heard(model_of):
    for router, ahead in (("linear", 0), ("causal", 0), ("tdnn", 3)):
        encoder = StreamingEncoder(model_of(router=router), 4)
        assert (encoder.ahead, encoder.delay) == (ahead, 4 * (ahead > 0))
        wave = torch.from_numpy(sound_of(3.0, 1))
        known = 2 * encoder.step + encoder.samples  # three chunks
        other = torch.cat([wave[:known], torch.from_numpy(sound_of(3.0, 2))[known:]])
        outputs = [streamed(encoder, own)["frames"] for own in (wave, other)]
        same = 12 - encoder.delay
        torch.testing.assert_close(outputs[0][:same], outputs[1][:same], atol=1e-6, rtol=1e-6)
        assert not torch.allclose(outputs[0][12:16], outputs[1][12:16])


def test_a_router_is_fine_tuned_in_chunks_too(model_of):
    trained = RouterModel(copy.deepcopy(model_of())).train()
    encoder = trained.asr_model.encoder
    assert {encoder._chunking() for _ in range(30)} == {Chunking(4, 64), None}
    trained.eval()
    assert {encoder._chunking() for _ in range(30)} == {None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalize": "utterance_mvn"}, "choose normalize: running_mvn"),
        ({"frontend_conf": {**CONFIG["frontend_conf"], "center": True}}, "need frontend_conf: center: false"),
        ({"frontend": "sliding_window", "frontend_conf": {}}, "need ESPnet's default front end"),
        ({"router": "tiny.NamelessRouter"}, "NamelessRouter has no `ahead`"),
    ],
)
def test_what_cannot_stream_is_told_before_it_is_trained(tmp_path, options, message):
    encoder_conf = {**CONFIG["encoder_conf"], "chunk_sizes": [4]}
    if router := options.pop("router", None):
        encoder_conf |= {"router": router, "router_conf": {}}
    with pytest.raises(ValueError, match=message):
        write_training_config(tmp_path, encoder_conf=encoder_conf, **options)


def test_a_model_that_was_not_trained_for_streaming_is_refused(tmp_path):
    model = build_model(write_training_config(tmp_path))
    assert "train one with encoder_conf: chunk_sizes" in one_sentence(StreamingEncoder, model, 4)
