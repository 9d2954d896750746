"""The benchmark of routers' capacities: what it computes once is what stage 16 computes, its draws, and its tables."""

import json
import re
import sys
from collections import Counter
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny import CONFIG, LANGUAGES, write_data_dir, write_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "local"))

from paper_table import router_capacity, router_costs, shared_outputs  # noqa: E402

from espnet_blrmoe.inference.lid_scores import hear  # noqa: E402
from espnet_blrmoe.languages import encode_label  # noqa: E402
from espnet_blrmoe.training.router_task import RouterTask  # noqa: E402

SPOKEN = [*LANGUAGES] * 3


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A model, and audio-language pairs."""
    root = tmp_path_factory.mktemp("root")
    conf = {**CONFIG["encoder_conf"], "router_input": "shared"}
    write_model(root / "model", specaug=None, encoder_conf=conf)
    write_data_dir(root / "pairs", SPOKEN)
    for name, seed in (("valid", 20), ("test_in", 30), ("test_out", 40)):
        write_data_dir(root / name, [*LANGUAGES] * 2, seed)
    return root


def router_model(root, **changes):
    """The model with a new router that reads the shared blocks, in evaluation mode, and the options of stage 16."""
    args = RouterTask.get_parser().parse_args([f"--config={router_capacity.CONFIG}", f"--model={root / 'model'}"])
    vars(args).update(changes)
    return RouterTask.build_model(args).eval(), args


def options(root, output, *further, pairs="pairs"):
    folders = [f"--{name}_dir={root / folder}" for name, folder in (
        ("pairs", pairs), ("valid", "valid"), ("test", "test_in"), ("test", "test_out"))]
    return [f"--model={root / 'model'}", *folders, f"--output={output}", *further]


def test_scores_are_those_of_the_recipe(root):
    model, args = router_model(root)
    test = shared_outputs.TestSet.of(model.asr_model, 8000, root / "test_out")
    torch.manual_seed(1)
    model.asr_model.encoder.put_router("tdnn", {"channels": 8, "layers": 2}, "shared")
    model.eval()
    expected = shared_outputs.scores_of(hear(model.asr_model, 8000, root / "test_out"))
    scores = test.scores(model.asr_model)
    assert scores.keys() == {"all", "test_out"}
    for domain, own in scores.items():
        assert own == pytest.approx(expected[domain], abs=0.02)  # of the frames, kept in half precision


def pairs_of(root):
    return router_capacity.read_pairs([root / "pairs"], LANGUAGES)


def test_the_loss_is_that_of_the_recipe(root):
    model, args = router_model(root, preprocessor_conf={})
    pairs = [shared_outputs.Version(pair, 0) for pair in pairs_of(root)]
    speech = shared_outputs.shared_outputs(model, pairs, args, 0, masks=False)
    waves = [torch.from_numpy(wave) for wave in shared_outputs.Waves(pairs, args)]
    lid = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(encode_label(language)) for language in SPOKEN],
                                          batch_first=True, padding_value=-1)
    padded = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    expected, *_ = model(padded, torch.tensor([len(wave) for wave in waves]), lid)
    assert float(speech.loss(model.asr_model, torch.arange(9))) == pytest.approx(float(expected), rel=1e-3)


def test_versions_differ_and_come_again_whatever_the_number_of_processes(root):
    model, args = router_model(root)
    versions = [shared_outputs.Version(pair, n) for pair in pairs_of(root)[:2] for n in range(2)]
    once, again = (shared_outputs.shared_outputs(model, versions, args, nj, masks=True) for nj in (0, 2))
    assert torch.equal(once.frames, again.frames)
    assert once.language.tolist() == [0, 0, 1, 1]
    assert not torch.equal(once.frames[0], once.frames[1])
    alone = shared_outputs.Waves(versions[3:], args)[0]
    assert (alone == shared_outputs.Waves(versions, args)[3]).all()


def test_draws_are_nested_and_each_pair_has_as_many_stretches(root):
    pairs = pairs_of(root)
    versions, draws = router_capacity.plan(pairs, ["1", "2", "all"], 2, 20)
    drawn = {(draw.amount, draw.number): Counter(versions[row].pair.id for row in draw.rows) for draw in draws}
    for number in range(2):
        assert drawn["1", number].keys() < drawn["2", number].keys() < drawn["all", number].keys()
    assert drawn["2", 0].keys() != drawn["2", 1].keys()
    assert {key: set(own.values()) for key, own in drawn.items()} == {
        (amount, number): {copies} for amount, copies in (("1", 7), ("2", 4), ("all", 3)) for number in range(2)}
    assert len({(version.pair.id, version.n) for version in versions}) == len(versions)
    assert [draw.pairs for draw in draws] == [1, 1, 2, 2, 3, 3]


def test_batches_have_all_languages_equally_often():
    language = torch.tensor([0] * 90 + [1] * 10 + [2] * 900)
    draw = shared_outputs.Draw("all", 0, torch.arange(50, 1000), 1.0)
    drawn = shared_outputs.batches(draw, language, 5, 40)
    assert drawn.shape == (5, 40, shared_outputs.BATCH)
    assert drawn.min() >= 50
    shares = language[drawn].flatten().bincount() / drawn.numel()
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.02)


def test_a_router_learns_and_its_best_epoch_counts(root):
    model, args = router_model(root, num_iters_per_epoch=20)
    versions = [shared_outputs.Version(pair, n) for pair in pairs_of(root) for n in range(8)]
    speech = shared_outputs.shared_outputs(model, versions, args, 0, masks=False)
    updates = []
    trained = deepcopy(model.asr_model.encoder.router)
    trainer = shared_outputs.Trainer(model.asr_model, trained, args, speech, speech, lambda: updates.append(1))
    trainer.put_router("2x16", 0).eval()
    untrained = trainer.valid_loss()
    draw = shared_outputs.Draw("all", 0, torch.arange(len(versions)), 3.0)
    known = trainer.train("2x16", draw)
    assert len(updates) == 5 * 20
    assert known["valid_loss"] < 0.8 * untrained
    assert trainer.valid_loss() == pytest.approx(known["valid_loss"])
    assert known["weights"] == shared_outputs.weights_of(model.asr_model.encoder.router)
    assert shared_outputs.weights_of(trainer.put_router("trained", 0)) == shared_outputs.weights_of(trained)
    assert torch.equal(model.asr_model.encoder.router.output.weight, trained.output.weight)
    trainer.valid = SimpleNamespace(lengths=speech.lengths, loss=lambda *_: torch.tensor(float(len(updates))))
    assert trainer.train("2x16", draw)["epoch"] == 1  # the later ones are worse


def test_figures_tables_and_plot(root, tmp_path, capsys):
    router_capacity.main(options(root, tmp_path, "--capacities", "linear", "trained", "--pairs", "1", "all",
                                 "--draws", "2", "--updates", "10", "--stretches", "12"))
    figures = json.loads((tmp_path / "router_capacity.json").read_text())
    assert figures["updates"] == 10
    assert figures["before"].keys() == {"test_in", "test_out"}
    assert [(own["capacity"], own["pairs"], own["draw"]) for own in figures["routers"]] == [
        (capacity, amount, draw) for capacity in ("linear", "trained") for amount in ("1", "all") for draw in (0, 1)]
    table = (tmp_path / "router_capacity.md").read_text()
    assert capsys.readouterr().out == table + "\n"
    rows = [line for line in table.splitlines() if line.startswith(("|as trained", "|linear", "|trained"))]
    assert len(rows) == 2 * 5
    own = [100 * router["scores"]["test_out"]["all"]["frame_accuracy"] for router in figures["routers"][:2]]
    assert rows[6].endswith(f"|{sum(own) / 2:.1f} ({min(own):.1f} to {max(own):.1f})|")
    (tmp_path / "router_capacity.svg").unlink()
    router_capacity.main([f"--output={tmp_path}"])
    assert capsys.readouterr().out == table + "\n"
    assert "</svg>" in (tmp_path / "router_capacity.svg").read_text()


def test_what_routers_cost(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(router_costs, "SECONDS", 1)
    monkeypatch.setattr(router_costs, "BATCHES", (1, 3))
    given = [f"--model={root / 'model'}", f"--output={tmp_path}", "--costs=2", "--capacities", "linear", "2x256"]
    router_capacity.main(given)
    table = (tmp_path / "router_costs.md").read_text()
    assert capsys.readouterr().out == table + "\n"
    every, linear, tdnn = (line.strip("|").split("|") for line in table.splitlines()[-3:])
    width = CONFIG["encoder_conf"]["output_size"]
    assert (every[0], linear[:2]) == ("all, with linear", ["linear", f"{(width + 1) * 3}"])
    assert all(re.fullmatch(r"[\d.]+ ms, [\d.]+ % \[[\d.]+, [\d.]+\]", cell) for cell in tdnn[3:6])
    of_linear, of_tdnn = (float(row[-1].split(", ")[1].removesuffix(" %")) for row in (linear, tdnn))
    assert 0 < of_linear < of_tdnn < 100
    with pytest.raises(SystemExit):
        router_capacity.main([*given, "trained"])
    assert "--costs needs --model, and --capacities of new routers" in capsys.readouterr().err


@pytest.mark.parametrize("changes, sentence", [
    (["--capacities", "big"], "a capacity is trained, linear or LAYERSxCHANNELS (5x128), not 'big'"),
    (["--pairs", "few"], "a positive number is needed, not 'few'"),
    (["--pairs", "1", "4"], "router_capacity: --pairs 4: language en has 3 audio-language pairs"),
    (["--pairs_dir", "nowhere"], "nowhere/wav.scp"),
    (["--model", "nowhere"], "router_capacity: nowhere does not exist"),
])
def test_mistakes_end_in_one_sentence(root, tmp_path, capsys, changes, sentence):
    with pytest.raises(SystemExit) as caught:
        router_capacity.main([*options(root, tmp_path / "out"), *changes])
    assert sentence in f"{caught.value}{capsys.readouterr().err}"
    assert not (tmp_path / "out/router_capacity.json").exists()


def test_options_that_are_missing(root, tmp_path, capsys):
    for given, sentence in (([], "there is no .*router_capacity.json yet; give --model"),
                            ([f"--model={root / 'model'}"], "--model needs --pairs_dir"),
                            (options(root, tmp_path, "--updates=9"), "--updates must be 10 or more")):
        with pytest.raises(SystemExit):
            router_capacity.main([f"--output={tmp_path}", *given])
        assert re.search(sentence, capsys.readouterr().err)


def test_models_and_languages_that_do_not_fit(root, tmp_path):
    write_model(tmp_path / "model", specaug=None)
    with pytest.raises(SystemExit, match="--capacities trained: the model's own router does not read the shared"):
        router_capacity.main(options(root, tmp_path, f"--model={tmp_path / 'model'}", "--capacities=trained"))
    write_data_dir(tmp_path / "others", ["en", "fr"])
    with pytest.raises(SystemExit, match="utterance utt1 of .*others has language 'fr'; give utterances in one lang"):
        router_capacity.main(options(root, tmp_path, pairs=tmp_path / "others"))
    write_data_dir(tmp_path / "mixed", ["en", "en:0:0.4 de:0.5:1"])
    with pytest.raises(SystemExit, match="mixed has utterances in several languages"):
        router_capacity.main(options(root, tmp_path, "--pairs=all", f"--test_dir={tmp_path / 'mixed'}"))
