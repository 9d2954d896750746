"""The report: one file that shows what there is and names what is missing."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report
import score
from fake_experiment import SIXTEEN, make_experiment
from shared.alignments import align_words
from shared.decodings import read_decoding
from shared.kaldi_tables import UserError, read_table, write_table


class Page(HTMLParser):
    """Collects the page's text, and checks that every element that is opened is closed."""

    VOID = {"meta", "br", "link", "img", "hr"}

    def __init__(self, html: str):
        super().__init__()
        self.stack, self.text = [], []
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def write_report(exp: Path, data: Path, output: Path, *options: str) -> str:
    report.main([str(exp), "--data", str(data), "--output", str(output), *options])
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    exp, router, data = make_experiment(tmp_path_factory.mktemp("experiment"))
    score.main([str(exp), "--data", str(data)])
    return exp, router, data


@pytest.fixture
def copy(experiment, tmp_path):
    """A copy that a test may spoil."""
    root = experiment[0].parents[1]
    shutil.copytree(root, tmp_path / "copy")
    return tuple(tmp_path / "copy" / path.relative_to(root) for path in experiment)


def test_report_is_whole_and_needs_nothing_else(experiment, tmp_path):
    exp, router, data = experiment
    html = write_report(exp, data, tmp_path / "report.html", "--router_exp", str(router))
    text = " ".join(Page(html).text)
    assert html.count("<svg") == 8  # an overview, two changes, two test sets by language, domains, two trainings
    assert 'class="missing"' not in html
    # Only the names of SVG's vocabularies are addresses; nothing is loaded from another place.
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', html)
    pooled = json.loads((exp / "scores.json").read_text())["scores"][0]
    assert f"{pooled['WER']['Err']:.1f} [" in text
    assert "6,500" in text  # weights of the fake model, router included
    assert "num_moe_blocks: 3" in text
    assert "token_list" not in text
    assert "old.pth 12,345" in text  # the routers' scores
    assert "es (given)" in text


def test_confidences_before_and_after_calibration(copy, tmp_path):
    exp, _, data = copy
    before = [{"words": 30, "confidence": 0.55, "right": 0.75}, {"words": 70, "confidence": 0.95, "right": 0.95}]
    after = [{"words": 100, "confidence": 0.87, "right": 0.89}]
    sets = [{"name": "valid", "words": 1100, "right": 0.89, "before": before, "after": after},
            {"name": "test_in", "words": 100, "right": 0.5, "before": before, "after": None},
            {"name": "silent", "words": 0, "right": 0.0, "before": [], "after": []}]
    (exp / "confidence.json").write_text(json.dumps({"calibration": None, "data": sets}), encoding="utf-8")
    html = write_report(exp, data, tmp_path / "report.html")
    text = " ".join(" ".join(Page(html).text).split())
    assert "valid 1,100 89.0 6.0 2.0" in text and "test_in 100 50.0 6.0 -" in text and "silent" not in text
    assert html.count("right words in %") == 2


def test_confusions_and_expert_usage_are_the_data(experiment):
    exp, _, data = experiment
    decoding = read_decoding(exp / "decode_asr" / "test_out", data / "test_out", "kept")
    usage = report.expert_usage(decoding)
    frames = sum(int(field.split(":")[1]) for line in (decoding.folder / "expert_frames").read_text().splitlines()
                 for field in line.split()[1:])
    assert sum(sum(row.values()) for row in usage.values()) == frames
    heat = report.heat_map({"es": {"es": 3, "pt": 1}, "pt": {"pt": 2}}, percent=True)
    assert heat["columns"] == ["es", "pt"]
    assert [[cell["shown"] for cell in row["cells"]] for row in heat["rows"]] == [["75", "25"], ["0", "100"]]


def test_the_last_run_of_a_stage_counts(tmp_path):
    path = tmp_path / "stage_times.tsv"
    path.write_text("1\tdata\t41\n11\ttraining\t700\n2\tspeed\t3\n11\ttraining\t512\n")
    assert [(row["stage"], row["seconds"]) for row in report.read_times(path)] == [("1", 41), ("2", 3), ("11", 512)]


def test_marked_words():
    alignment = align_words("uno dos tres", "uno doce tres mas", "es")
    assert report.marked(alignment) == [("uno", "equal"), ("doce", "substitute"), ("tres", "equal"), ("mas", "insert")]
    assert report.marked(align_words("uno dos", "", "es")) == [("uno", "delete"), ("dos", "delete")]


def test_missing_parts_are_named(copy, tmp_path):
    exp, router, data = copy
    shutil.rmtree(router)
    for folder in exp.glob("decode_asr_*"):
        shutil.rmtree(folder)
    for path in (exp / "checkpoint.pth", exp / "config.yaml", exp / "stage_times.tsv",
                 *exp.glob("*/*/expert_frames"), *exp.glob("*/*/timeline"), *exp.glob("*/*/lang")):
        path.unlink()
    score.main([str(exp), "--data", str(data)])
    text = " ".join(Page(write_report(exp, data, tmp_path / "report.html", "--router_exp", str(router))).text)
    for sentence in ("Nothing to compare yet for router fine-tuning", "Nothing to compare yet for pruning to one",
                     "No router fine-tuning yet: run stage 16", "No finished epoch", "no language is detected",
                     "expert_frames", "there is no config.yaml yet", "No stage_times.tsv", "size is unknown"):
        assert sentence in text


def test_a_checkpoint_that_is_cut_off_is_named(copy, tmp_path):
    exp, router, data = copy
    (exp / "checkpoint.pth").write_bytes((exp / "checkpoint.pth").read_bytes()[:-100])
    with pytest.raises(SystemExit, match=f"^{exp / 'checkpoint.pth'} is damaged or cut off; .*, or remove it: the"):
        write_report(exp, data, tmp_path / "report.html", "--router_exp", str(router))


def test_sixteen_languages(tmp_path):
    exp, router, data = make_experiment(tmp_path, SIXTEEN, per_language=2)
    score.main([str(exp), "--data", str(data)])
    html = write_report(exp, data, tmp_path / "report.html", "--router_exp", str(router))
    assert "MER in %" in Page(html).text  # of Chinese
    assert html.count("zh-CN") > 6


@pytest.mark.parametrize(("digits", "shown"), [("spelled", "twenty one"), ("kept", "21")])
def test_examples_have_numbers_as_scoring_had_them(copy, digits, shown):
    exp, _, data = copy
    for path in (data / "test_in" / "text", *exp.glob("*/test_in/text")):
        write_table(path, dict.fromkeys(read_table(path, allow_empty=True), "21"))
    score.main([str(exp), "--data", str(data), "--digits", digits])
    _, decodings = report.read_scores(exp, data)
    examples = report.examples([d for d in decodings if d.test_set == "test_in"])
    (english,) = (example for example in examples if example["utterance"].language == "en")
    assert english["utterance"].text == shown
    for result in english["results"]:
        assert result["words"] == [(word, "equal") for word in shown.split()]


def test_transcripts_are_escaped(copy, tmp_path):
    exp, _, data = copy
    text = data / "test_in" / "text"
    write_table(text, dict.fromkeys(read_table(text), "l'un"))
    html = write_report(exp, data, tmp_path / "report.html")
    assert "l&#39;un" in html
    assert "<script>" not in html


@pytest.mark.parametrize(("break_it", "message"), [
    (lambda exp: (exp / "scores.json").unlink(), "run scoring"),
    (lambda exp: shutil.rmtree(exp / "decode_asr_router"), "run scoring .* again"),
    (lambda exp: write_table(exp / "decode_asr/test_in/expert_frames", {"de-test_in-000": "de"}), "-000 has 'de'"),
    (lambda exp: (exp / "stage_times.tsv").write_text("1 data 3\n"), "stage_times.tsv:1: expected stage"),
])
def test_mistakes_end_in_one_sentence(copy, tmp_path, break_it, message):
    exp, _, data = copy
    break_it(exp)
    with pytest.raises(UserError, match=message):
        write_report(exp, data, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_without_room_the_earlier_report_stays(experiment, tmp_path, fill_disk):
    exp, _, data = experiment
    (tmp_path / "report.html").write_text("before")
    fill_disk("report.html")
    with pytest.raises(UserError, match="report.html cannot be written: No space left on device; it is left as it was"):
        write_report(exp, data, tmp_path / "report.html")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "before")]
