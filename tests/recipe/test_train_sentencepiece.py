"""Tokens over several scripts: balanced between languages, no unknown character, the same every time."""

import random
from collections import Counter

import pytest
import sentencepiece
import train_sentencepiece
from shared.kaldi_tables import UserError
from shared.transcripts import Transcript

SENTENCES = {
    "de": ["größe und maß der straße", "der fluß fließt durch die stadt", "ein haus am see und ein boot"],
    "ru": ["большая река течёт на юг", "дом стоит у озера", "сегодня хорошая погода"],
    "zh-CN": ["今天天气很好", "河流向南流去", "湖边有一座房子"],
    "ar": ["البيت على البحيرة", "النهر يجري نحو الجنوب", "الطقس جميل اليوم"],
}
UNSEEN = ["ñandú čeština", "ひらがな ハングル 한글", "Ελλάδα 🙂", "x\u200dy"]


def write_data(folder, times=None):
    """A data directory in which every sentence of a language occurs `times[language]` times."""
    folder.mkdir()
    lines = [(f"{language}-{n:05d}", language, text)
             for language, texts in SENTENCES.items()
             for n, text in enumerate(texts * (times or {}).get(language, 1))]
    lines.sort()
    (folder / "text").write_text("".join(f"{key} {text}\n" for key, _, text in lines), encoding="utf-8")
    (folder / "utt2lang").write_text("".join(f"{key} {language}\n" for key, language, _ in lines), encoding="utf-8")
    return folder


def train(data, folder, *options):
    train_sentencepiece.main([*options, str(data), str(folder)])
    tokens = (folder / "tokens.txt").read_text(encoding="utf-8").splitlines()
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "bpe.model")), tokens


KINDS = [["--bpemode", mode, *each] for mode in ("bpe", "unigram", "char") for each in ([], ["--bpe_per_language"])]


@pytest.mark.parametrize("options", KINDS, ids=" ".join)
def test_no_character_of_any_text_is_unknown_or_lost(tmp_path, options):
    model, tokens = train(write_data(tmp_path / "data"), tmp_path / "tokens", "--nbpe", "120", *options)
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert len(set(tokens)) == len(tokens)
    for text in [*(text for texts in SENTENCES.values() for text in texts), *UNSEEN]:
        pieces = model.encode_as_pieces(text)
        assert set(pieces) <= set(tokens[2:-1])
        assert model.decode_pieces(pieces) == text


def test_rare_characters_are_learned_as_bytes(tmp_path):
    data = write_data(tmp_path / "data", {"de": 200})
    with (data / "text").open("a", encoding="utf-8") as text, (data / "utt2lang").open("a") as languages:
        text.write("zz 龘\n")
        languages.write("zz de\n")
    model, _ = train(data, tmp_path / "some", "--bpe_temperature", "1", "--bpe_char_cover", "0.999")
    assert model.encode_as_pieces("龘")[-3:] == [f"<0x{byte:02X}>" for byte in "龘".encode()]
    model, _ = train(data, tmp_path / "all", "--bpe_temperature", "1", "--bpe_char_cover", "1")
    assert "龘" in model.encode_as_pieces("龘")[-1]


def test_a_small_language_gets_its_pieces(tmp_path):
    generator, letters = random.Random(0), {"de": "abcdefghij", "ru": "абвгдежзик"}
    words = {code: ["".join(generator.choices(few, k=5)) for _ in range(100)] for code, few in letters.items()}
    rows = [(f"{code}-{n:04d}", code, " ".join(generator.choices(words[code], k=5)))
            for code, number in (("de", 3000), ("ru", 30)) for n in range(number)]
    (tmp_path / "text").write_text("".join(f"{key} {text}\n" for key, _, text in rows), encoding="utf-8")
    (tmp_path / "utt2lang").write_text("".join(f"{key} {code}\n" for key, code, _ in rows), encoding="utf-8")

    def tokens_a_word(temperature):
        model, _ = train(tmp_path, tmp_path / temperature, "--nbpe", "200", "--bpe_temperature", temperature)
        return [sum(len(model.encode_as_pieces(word)) for word in words[code]) / 100 for code in ("de", "ru")]

    as_is, balanced, equal = map(tokens_a_word, ("1", "5", "inf"))
    assert as_is[0] < balanced[0] <= equal[0] + 0.2
    assert as_is[1] > balanced[1] + 1 > equal[1]


def test_a_language_of_its_own_script_is_cut_as_by_its_own_model(tmp_path):
    union, tokens = train(write_data(tmp_path / "all"), tmp_path / "union", "--nbpe", "60", "--bpe_per_language")
    for language in ("ru", "zh-CN", "ar"):
        folder = tmp_path / language
        folder.mkdir()
        for table in ("text", "utt2lang"):
            lines = (tmp_path / "all" / table).read_text(encoding="utf-8").splitlines(keepends=True)
            (folder / table).write_text("".join(x for x in lines if x.startswith(language)), encoding="utf-8")
        own, own_tokens = train(folder, tmp_path / f"tokens-{language}", "--nbpe", "60")
        assert set(own_tokens) <= set(tokens)
        for text in SENTENCES[language]:
            assert union.encode_as_pieces(text) == own.encode_as_pieces(text)


@pytest.mark.parametrize("options", KINDS, ids=" ".join)
def test_the_same_data_give_the_same_tokens(tmp_path, options):
    data = write_data(tmp_path / "data", {"de": 30})
    options = ["--nbpe", "90", "--bpe_input_sentence_size", "40", *options]
    for folder in ("one", "two"):
        train(data, tmp_path / folder, *options)
    for name in ("bpe.model", "bpe.vocab", "tokens.txt"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


TRANSCRIPTS = [Transcript("de", f"satz {n}") for n in range(900)] + [Transcript("fr", f"mot {n}") for n in range(100)]


@pytest.mark.parametrize(("temperature", "share"), [(1, 100 / 1000), (2, 1 / 4), (float("inf"), 1 / 2)])
def test_the_share_of_a_language(temperature, share):
    texts = [transcript._replace(text="a" * 10) for transcript in TRANSCRIPTS]
    wanted = train_sentencepiece.balanced(train_sentencepiece.amounts(texts), temperature, 1000)
    assert wanted["fr"] == pytest.approx(1000 * share, abs=1)
    assert sum(wanted.values()) == pytest.approx(1000, abs=1)


def test_languages_are_compared_by_their_characters_not_their_sentences():
    texts = [Transcript("de", "a" * 90)] * 100 + [Transcript("zh-CN", "好" * 10)] * 100
    wanted = train_sentencepiece.balanced(train_sentencepiece.amounts(texts), float("inf"), 100)
    assert wanted == {"de": 10, "zh-CN": 90}


@pytest.mark.parametrize("wanted", [{"de": 50, "fr": 250}, {"de": 900, "fr": 1}, {"fr": 100}])
def test_exactly_so_many_are_drawn_and_all_of_a_language_equally_often(wanted):
    amounts = train_sentencepiece.amounts(TRANSCRIPTS)
    drawn = Counter(train_sentencepiece.draw(TRANSCRIPTS, amounts, wanted, seed=0))
    for language in ("de", "fr"):
        times = [drawn[text] for code, text in TRANSCRIPTS if code == language]
        assert sum(times) == wanted.get(language, 0)
        assert max(times) - min(times) <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bpe_temperature", "0.5"], "--bpe_temperature must be 1 or more"),
        (["--bpe_temperature", "nan"], "--bpe_temperature must be 1 or more"),
        (["--bpe_char_cover", "0.5"], "--bpe_char_cover must lie between 0.98 and 1"),
    ],
)
def test_mistakes_in_options(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        train(write_data(tmp_path / "data"), tmp_path / "tokens", *options)
    assert not (tmp_path / "tokens").exists()


def test_a_full_disk_leaves_the_earlier_tokens(tmp_path, fill_disk):
    data = write_data(tmp_path / "data", {"de": 2})
    train(data, tmp_path / "out", "--nbpe", "400")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    fill_disk("tokens.txt")
    with pytest.raises(UserError, match="out/tokens.txt cannot be written: No space left on device; it is left as it"):
        train(data, tmp_path / "out", "--nbpe", "420")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_mistakes_in_the_data(tmp_path):
    data = write_data(tmp_path / "data")
    lines = (data / "text").read_text(encoding="utf-8").splitlines(keepends=True)
    (data / "text").write_text("".join([*lines[:4], *lines[5:]]), encoding="utf-8")
    with pytest.raises(UserError, match=r"text:5: utterance de-00002, but .*utt2lang has de-00001 there"):
        train(data, tmp_path / "tokens")
    (data / "text").write_text("".join(f"{line.split()[0]}\n" for line in lines), encoding="utf-8")
    with pytest.raises(UserError, match="text has no transcript to learn pieces from"):
        train(data, tmp_path / "tokens")
    (data / "text").unlink()
    with pytest.raises(UserError, match="text does not exist: run the stage that makes it first"):
        train(data, tmp_path / "tokens")
    assert not (tmp_path / "tokens").exists()
