"""The model's loss, statistics and labels; training with DistributedDataParallel."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.train.collate_fn import CommonCollateFn
from tiny import LANGUAGES, batch_of, build_model, write_training_config
from torch.nn.parallel import DistributedDataParallel

from espnet_blrmoe.languages import LanguageStretch
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.language_labels import LanguageLabels
from espnet_blrmoe.model.routing import PackedFrames, Routing
from espnet_blrmoe.training.preprocessor import BLRMoEPreprocessor

STATS = {"loss", "loss_ctc", "cer_ctc", "loss_att", "acc", "cer", "wer", "loss_lid", "acc_lid", "acc_lid_utt"}


@pytest.fixture
def model(tiny_model) -> BLRMoEModel:
    return build_model(tiny_model.config)


def random_routing(lengths: list[int]) -> Routing:
    """A Routing of random logits, with large ones in the padding."""
    torch.manual_seed(0)
    valid = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    logits = torch.randn(*valid.shape, len(LANGUAGES)).masked_fill(~valid.unsqueeze(-1), 50.0)
    frames = PackedFrames.in_time_order(valid.sum(dim=1), tuple(valid.shape))
    return Routing.of(logits, logits.argmax(dim=-1), valid, frames)


# --------------------------------------------------------------------------------------------------------------- loss


@pytest.mark.parametrize("lid_weight", [0.3, 0.0, 2.0])
def test_loss_is_espnets_plus_the_weighted_lid_loss(model, lid_weight):
    model.eval().lid_weight = lid_weight
    loss, stats, weight = model(**batch_of(["en", "de", "zh-CN"]))
    espnet_loss, _, _ = ESPnetASRModel.forward(model, **batch_of(["en", "de", "zh-CN"]))
    torch.testing.assert_close(loss, espnet_loss + lid_weight * stats["loss_lid"])
    torch.testing.assert_close(stats["loss"], loss)
    assert stats["loss_lid"] > 0
    assert weight == 3


def test_frame_loss_sums_the_cross_entropy_of_an_utterances_frames(model):
    lengths, labels = [7, 1, 4], [2, 0, 1]
    routing = random_routing(lengths)
    total = 0.0
    for b, (length, label) in enumerate(zip(lengths, labels)):
        for frame in routing.logits[b, :length].tolist():
            total -= math.log(math.exp(frame[label]) / sum(map(math.exp, frame)))
    loss, stats = model.lid_loss_and_stats(routing, LanguageLabels.throughout(torch.tensor(labels)))
    assert loss.item() == pytest.approx(total / len(lengths), rel=1e-5)
    assert stats["loss_lid"] == loss


def test_ctc_loss_sums_over_all_placements_of_the_label(model):
    model.lid_loss = "ctc"
    lengths, labels = [7, 1, 4], [2, 0, 1]
    routing = random_routing(lengths)
    losses = []
    for b, (length, label) in enumerate(zip(lengths, labels)):
        exponentials = [[1.0, *map(math.exp, frame)] for frame in routing.logits[b, :length].tolist()]  # blank first
        probs = [[e / sum(frame) for e in frame] for frame in exponentials]
        total = 0.0
        for start in range(length):
            for end in range(start, length):  # blanks, the label from start to end, blanks
                total += math.prod(p[1 + label if start <= t <= end else 0] for t, p in enumerate(probs))
        losses.append(-math.log(total))
    loss, _ = model.lid_loss_and_stats(routing, LanguageLabels.throughout(torch.tensor(labels)))
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_lid_accuracies(model):
    valid = torch.tensor([[True, True, True], [True, False, False]])
    expert = torch.tensor([[1, 1, 0], [2, 0, 0]])
    logits = 10.0 * torch.nn.functional.one_hot(expert, len(LANGUAGES))
    routing = Routing.of(logits, expert, valid, PackedFrames.in_time_order(valid.sum(dim=1), tuple(valid.shape)))
    _, stats = model.lid_loss_and_stats(routing, LanguageLabels.throughout(torch.tensor([1, 0])))
    assert stats["acc_lid"].item() == pytest.approx(2 / 4)
    assert stats["acc_lid_utt"].item() == pytest.approx(1 / 2)


def joined_labels() -> LanguageLabels:
    """Of an utterance of four frames joined with one of two, after a pause of two; and of one alone."""
    stretches = [[LanguageStretch("de", 0, 0.5), LanguageStretch("zh-CN", 0.75, 1)], [LanguageStretch("en")]]
    return LanguageLabels.of(stretches, LANGUAGES)


def test_the_frame_loss_leaves_pauses_out(model):
    routing = random_routing([8, 3])
    loss, stats = model.lid_loss_and_stats(routing, joined_labels())
    log_probs, spoken = routing.log_probs, [(0, t, 1) for t in range(4)] + [(0, 6, 2), (0, 7, 2)]
    spoken += [(1, t, 0) for t in range(3)]
    assert loss.item() == pytest.approx(-sum(log_probs[place].item() for place in spoken) / 2, rel=1e-5)
    right = sum(int(log_probs[b, t].argmax()) == language for b, t, language in spoken)
    assert stats["acc_lid"].item() == pytest.approx(right / 9)
    of_most_frames = routing.utterance_probs.argmax(dim=-1) == torch.tensor([1, 0])
    assert stats["acc_lid_utt"].item() == pytest.approx(of_most_frames.float().mean().item())


def test_the_ctc_loss_is_of_the_sequence_of_languages(model):
    model.lid_loss = "ctc"
    routing = random_routing([8, 3])
    loss, _ = model.lid_loss_and_stats(routing, joined_labels())
    log_probs = torch.nn.functional.pad(routing.logits, (1, 0)).log_softmax(dim=-1)
    losses = [
        torch.nn.functional.ctc_loss(log_probs[b, :length], torch.tensor(targets), [length], [len(targets)])
        * len(targets)  # PyTorch's mean divides by it
        for b, (length, targets) in enumerate([(8, [2, 3]), (3, [1])])
    ]
    assert loss.item() == pytest.approx(sum(losses).item() / 2, rel=1e-5)


@pytest.mark.parametrize("lid_loss", ["frame", "ctc"])
def test_router_learns_from_the_lid_loss_alone(model, lid_loss):
    model.lid_loss = lid_loss
    model.lid_weight = 0.0
    model(**batch_of(["en", "de"]))[0].backward()
    assert not any(parameter.grad.any() for parameter in model.encoder.router.parameters())
    model.lid_weight = 0.3
    model(**batch_of(["en", "de"]))[0].backward()
    assert all(parameter.grad.any() for parameter in model.encoder.router.parameters())


def test_statistics_have_the_same_keys_in_every_batch(model):
    for training in (True, False):
        for languages in (["en"], ["de", "de"], ["en", "zh-CN", "de"]):
            loss, stats, weight = model.train(training)(**batch_of(languages))
            assert set(stats) == STATS
            assert all(value is None or value.shape == (1,) for value in (loss, weight, *stats.values()))


def test_the_same_seed_gives_the_same_loss(tiny_model):
    def loss_of(seed: int) -> float:
        model = build_model(tiny_model.config)
        torch.manual_seed(seed)  # of dropout
        return model(**batch_of(["en", "de"]))[0].item()

    assert loss_of(1) == loss_of(1)
    assert loss_of(1) != loss_of(2)


def test_hybrid_model(tmp_path):
    config = write_training_config(
        tmp_path,
        model_conf={"ctc_weight": 0.3},
        decoder="transformer",
        decoder_conf={"attention_heads": 2, "linear_units": 24, "num_blocks": 1},
    )
    model = build_model(config)
    loss, stats, _ = model(**batch_of(["en", "de"]))
    assert set(stats) == STATS
    expected = 0.3 * stats["loss_ctc"] + 0.7 * stats["loss_att"] + model.lid_weight * stats["loss_lid"]
    torch.testing.assert_close(loss.detach(), expected)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_another_encoder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="model blr_moe needs encoder blr_moe, not TransformerEncoder"):
        write_training_config(tmp_path, encoder="transformer", encoder_conf={})


def test_another_lid_loss_is_refused(tmp_path):
    with pytest.raises(ValueError, match="lid_loss must be frame or ctc, not 'focal'"):
        write_training_config(tmp_path, model_conf={"ctc_weight": 1.0, "lid_loss": "focal"})


# ------------------------------------------------------------------------------------------------------------- labels


def test_labels_travel_through_preprocessor_and_collation(model):
    preprocess = BLRMoEPreprocessor(train=True, token_type="char", token_list=model.token_list)
    speech = np.zeros(100, dtype=np.float32)
    utterances = [("utt1", "zh-CN", "abc"), ("utt2", "en", "a b"), ("utt3", "de ", "c")]
    data = [(utt, preprocess(utt, {"speech": speech, "text": text, "lid": lid})) for utt, lid, text in utterances]
    utt_ids, batch = CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)(data)
    assert model.language_labels(batch["lid"], utt_ids).language.tolist() == [[2], [0], [1]]
    assert batch["text"].tolist() == [[2, 3, 4], [2, 5, 3], [4, -1, -1]]


def test_preprocessor_needs_neither_label_nor_transcript():
    preprocess = BLRMoEPreprocessor(train=False)
    speech = np.zeros(100, dtype=np.float32)
    assert preprocess("utt1", {"speech": speech}).keys() == {"speech"}
    assert preprocess("utt1", {"speech": speech, "lid": "en"})["lid"].tolist() == [ord("e"), ord("n")]


@pytest.mark.parametrize("method", ["forward", "collect_feats"])
def test_a_batch_without_labels_is_refused(model, method):
    batch = batch_of(["en", "de"])
    del batch["lid"]
    with pytest.raises(ValueError, match="utterance utt0 comes without a language label; add utt2lang"):
        getattr(model, method)(**batch)


@pytest.mark.parametrize("method", ["forward", "collect_feats"])
def test_an_unknown_language_is_refused(model, method):
    with pytest.raises(ValueError, match="utterance utt1 has language 'fr' .* knows en, de, zh-CN"):
        getattr(model, method)(**batch_of(["en", "fr"]))


def test_labels_of_utterances_without_ids(model):
    batch = batch_of(["en", "fr"])
    del batch["utt_id"]
    with pytest.raises(ValueError, match="utterance number 1 of the batch has language 'fr'"):
        model(**batch)


# ----------------------------------------------------------------------------------------- distributed data parallel

STEPS, RANKS = 3, 2


def step_batch(step: int, rank: int) -> dict:
    """Every rank has one language, another one at every step."""
    return batch_of([LANGUAGES[(step + rank) % len(LANGUAGES)]] * 2, seed=10 * step + rank)


def model_without_dropout(config: Path) -> torch.nn.Module:
    model = build_model(config)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def gradients_of(model: torch.nn.Module, rank_losses) -> list[dict[str, torch.Tensor]]:
    """Train with plain SGD; the gradients of every step, whose losses `rank_losses(step)` sums into them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    gradients = []
    for step in range(STEPS):
        optimizer.zero_grad()
        rank_losses(step)
        gradients.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
        optimizer.step()
    return gradients


def train_rank(rank: int, config: Path, folder: Path) -> None:
    """One of the processes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    model = model_without_dropout(config)
    parallel = DistributedDataParallel(model)  # without find_unused_parameters
    gradients = gradients_of(model, lambda step: parallel(**step_batch(step, rank))[0].backward())
    torch.save(gradients, folder / f"gradients{rank}.pth")
    torch.distributed.destroy_process_group()


def test_distributed_training_equals_one_process(tiny_model, tmp_path):
    torch.multiprocessing.spawn(train_rank, args=(tiny_model.config, tmp_path), nprocs=RANKS)
    model = model_without_dropout(tiny_model.config)

    def average_of_the_ranks(step: int) -> None:
        for rank in range(RANKS):
            (model(**step_batch(step, rank))[0] / RANKS).backward()

    for step, expected in enumerate(gradients_of(model, average_of_the_ranks)):
        for rank in range(RANKS):
            gradients = torch.load(tmp_path / f"gradients{rank}.pth", weights_only=True)[step]
            torch.testing.assert_close(gradients, expected, atol=1e-4, rtol=1e-3)
