"""The packed model: its model card says what is true of it, and every file that it needs is there or named."""

import pack
import pytest
import score
import yaml
from fake_experiment import LANGUAGES, make_experiment


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> str:
    """RESULTS.md of a model of all LANGUAGES."""
    exp, _, data = make_experiment(tmp_path_factory.mktemp("experiment"), per_language=2)
    score.main([str(exp), "--data", str(data)])
    return (exp / "RESULTS.md").read_text(encoding="utf-8")


def card_of(languages: tuple[str, ...], results: str, **others) -> str:
    sizes = {"num_shared_blocks": 2, "num_moe_blocks": 3, "output_size": 64, **others}
    return pack.model_card({"encoder_conf": {"languages": list(languages), "router": "tdnn", **sizes}}, results)


def test_the_card_of_a_whole_model(results):
    card = card_of(LANGUAGES, results)
    assert yaml.safe_load(card.split("---")[1])["language"] == list(LANGUAGES)
    assert "router `tdnn`" in card and "--languages de,en" in card
    assert card.endswith(results + "\n")
    assert "Not of this model" not in card


def test_the_card_names_the_languages_that_share_an_expert(results):
    assert "has experts for every language, chosen frame by frame" in card_of(LANGUAGES, results)
    card = card_of(LANGUAGES, results, experts={"west": ["de", "en"], "iberian": ["es", "pt"]})
    assert "for every language or group of languages (west: de, en; iberian: es, pt), chosen frame by frame" in card


def test_the_card_of_a_pruned_model_says_whose_results_it_shows(results):
    card = card_of(("es", "pt"), results)
    assert "router `tdnn`" in card and "--languages es,pt" in card
    assert "Of the larger model with de, en, es, pt, from which this one was made" in card


def test_the_card_of_one_language_speaks_of_no_choice(results):
    card, _, shown = card_of(("es",), results).partition("## Results\n")
    assert "needs no router" in card and "`tdnn`" not in card
    for word in ("language-identification", "languages", "multilingual", "probability", "pruning"):
        assert word not in card
    assert "Of the larger model with de, en, es, pt, from which this one was made" in shown


def test_a_file_that_the_configuration_names_is_missing(tmp_path):
    config = {"encoder_conf": {"languages": ["es"]}, "normalize_conf": {"stats_file": str(tmp_path / "stats.npz")}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    for name in ("model.pth", "RESULTS.md"):
        (tmp_path / name).touch()
    files = {"asr_train_config": "config.yaml", "asr_model_file": "model.pth", "results": "RESULTS.md"}
    arguments = [f"--{option}={tmp_path / name}" for option, name in files.items()]
    with pytest.raises(SystemExit, match="config.yaml names stats_file .*stats.npz, which does not exist"):
        pack.main([*arguments, f"--outpath={tmp_path / 'model.zip'}"])
    assert not (tmp_path / "model.zip").exists()


def test_every_file_that_the_configuration_names_goes_along(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("model.pth", "RESULTS.md", "stats", "pieces", "symbols"):
        (tmp_path / name).write_text(name)
    config = {"encoder_conf": {"languages": ["es"], "num_shared_blocks": 2, "num_moe_blocks": 3, "output_size": 64},
              "normalize_conf": {"stats_file": str(tmp_path / "stats")}, "bpemodel": str(tmp_path / "pieces"),
              "non_linguistic_symbols": str(tmp_path / "symbols")}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    files = (tmp_path / name for name in ("config.yaml", "model.pth", "RESULTS.md"))
    names = pack.gather(tmp_path / "folder", *files)
    assert names == ["README.md", "RESULTS.md", "bpe.model", "non_linguistic_symbols.txt", "feats_stats.npz"]
    packed = yaml.safe_load((tmp_path / "folder/config.yaml").read_text(encoding="utf-8"))
    named = packed["bpemodel"], packed["non_linguistic_symbols"], packed["normalize_conf"]["stats_file"]
    assert [(tmp_path / "folder" / name).read_text() for name in named] == ["pieces", "symbols", "stats"]
