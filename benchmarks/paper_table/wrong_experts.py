"""Why do experts on K and Q hurt? What wrong experts do to models whose attention has experts in different places.

    cd /data/paper_table
    python .../benchmarks/paper_table/wrong_experts.py none=exp/asr_lr_moe_from_dense_seed0 \\
        V=exp/asr_lr_moe_v_from_dense_seed0 VO=exp/asr_lr_moe_vo_from_dense_seed0 \\
        KQ=exp/asr_lr_moe_kq_from_dense_seed0 KQVO=exp/asr_lr_moe_kqvo_from_dense_seed0 \\
        --data_dir dump/raw/test_in --results wrong_experts.jsonl --utterances 400

The paper finds that experts on K and Q hurt, and leaves open why. A guess: a score is the product of a query and a key,
and where two frames go to different experts, it is of two matrices that training by labels has never seen together.
Then a model with experts on K and Q must suffer more than others from single frames in wrong experts (`frames`: so
large a share of all frames, drawn one by one), but not more from whole utterances in one wrong expert (`utterances`: so
large a share of all utterances), whose queries and keys fit each other. All other frames go to their own language's
expert. Models are NAME=FOLDER; what is in --results already is not decoded again.

Prints, in Markdown, word and character error rates by the best path of the CTC, and their increases with 95 % paired
bootstrap intervals over utterances; for every MLE block the entropy of the attention in nats, averaged over frames and
heads, and the scale of the scores before their softmax: their standard deviation over the frames that are attended to,
averaged likewise; and the norms of the gradients of the attention's matrices in all MLE blocks, in one training step on
some of the utterances, routed by label.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_blrmoe.progress import progress_bar

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "local"), str(ROOT / "benchmarks")]

from measuring import kept_results, named_folders, read_data_dir  # noqa: E402
from score import bootstrap, count, error_rate  # noqa: E402
from shared.alignments import align_characters, align_words  # noqa: E402
from shared.resampling import interval  # noqa: E402
from shared.score_tables import markdown_table  # noqa: E402

from espnet_blrmoe import Speech2Text, audio  # noqa: E402
from espnet_blrmoe.languages import LABEL_PADDING, encode_label  # noqa: E402
from espnet_blrmoe.model.attention import SelfAttention  # noqa: E402
from espnet_blrmoe.model.prior import LanguageChoice, LanguagePrior  # noqa: E402

SHARES = (0.05, 0.1, 0.2, 0.4)
KINDS = ("frames", "utterances")
NONE_WRONG = ("frames", 0.0)
CONDITIONS = (NONE_WRONG, *product(KINDS, SHARES))
ATTENTION = (NONE_WRONG, ("frames", 0.2))  # conditions whose attention is looked at
CHECKPOINT = "valid.cer_ctc.ave.pth"  # as stage 11 leaves it
BATCH_SECONDS = 80  # padding included; more is slower on a CPU
TRAINING_UTTERANCES = 32  # of the step whose gradients are measured
PROJECTIONS = {"Q": "linear_q", "K": "linear_k", "V": "linear_v", "O": "linear_out"}


@dataclass(frozen=True)
class Speech:
    """Utterances of a data directory, the same for all models."""

    ids: list[str]
    files: list[str]
    texts: list[str]
    languages: list[str]

    @classmethod
    def of(cls, data_dir: Path, utterances: int | None) -> "Speech":
        """All of them, or so many, evenly spread over the list.

        Raises:
            SystemExit: a table is missing or broken, or lacks an utterance.
        """
        files, texts, languages = read_data_dir(data_dir, "text", "utt2lang")
        ids = [sorted(texts)[n] for n in spread(utterances or len(texts), len(texts))]
        return cls(ids, *([table[u] for u in ids] for table in (files, texts, languages)))


class Model:
    """A trained model and the speech that it hears."""

    def __init__(self, folder: str, speech: Speech):
        checkpoint = Path(folder, CHECKPOINT)
        self.speech2text = (Speech2Text(Path(folder, "config.yaml"), checkpoint) if checkpoint.exists()
                            else Speech2Text.from_pretrained(folder))
        self.model = self.speech2text.asr_model
        self.encoder = self.model.encoder
        self.speech = speech
        if foreign := set(speech.languages) - set(self.encoder.languages):
            raise ValueError(f"{folder} does not know language {min(foreign)}")
        if len(self.encoder.groups.experts) == 1:
            raise ValueError(f"{folder} has one expert, so there is no wrong one")
        self.own = [self.encoder.languages.index(language) for language in speech.languages]
        self.waves = [audio.load(file, self.speech2text.fs) for file in speech.files]

    @property
    def attentions(self) -> list[SelfAttention]:
        """Those of the MLE blocks."""
        blocks = self.encoder.encoders[self.encoder.num_shared_blocks :]
        return [module for block in blocks for module in block.modules() if isinstance(module, SelfAttention)]

    @torch.no_grad()
    def recognise(self, kind: str, share: float, seed: int) -> dict[str, str]:
        """Utterance -> text, with a share of frames or utterances in wrong experts."""
        frame = self.speech2text.fs * self.speech2text.seconds_per_frame
        frames = [int(len(wave) / frame) + 1 for wave in self.waves]
        languages = draw_languages(self.own, self.encoder.groups.names, frames, kind, share, seed)
        texts = {}
        for places in self._batches():
            lengths = torch.tensor([len(self.waves[n]) for n in places])
            waves = pad_sequence([self.waves[n] for n in places], batch_first=True)
            choice = LanguageChoice(only([languages[n] for n in places], len(self.encoder.languages)))
            encoded, out_lengths, _ = self.model.encode_with_routing(waves, lengths, choice)
            tokens = self.model.ctc.argmax(encoded)
            for n, own, length in zip(places, tokens, out_lengths):
                texts[self.speech.ids[n]] = self._best_path(own[:length])
        return texts

    def _batches(self) -> Iterator[list[int]]:
        """Places of utterances of similar length."""
        places = sorted(range(len(self.waves)), key=lambda n: len(self.waves[n]))
        most = BATCH_SECONDS * self.speech2text.fs
        for batch in audio.in_batches([self.waves[n] for n in places], most):
            yield [places[n] for n in batch]

    def _best_path(self, tokens: torch.Tensor) -> str:
        ids = [token for token, _ in groupby(tokens.tolist()) if token != self.model.blank_id]
        return self.speech2text.tokenizer.tokens2text(self.speech2text.converter.ids2tokens(ids))

    def attention(self, kind: str, share: float, seed: int) -> list[dict[str, float]]:
        """Entropy and scale of the scores of every MLE block's attention while the model recognises."""
        with ExitStack() as stack:
            records = [stack.enter_context(recorded(attention)) for attention in self.attentions]
            self.recognise(kind, share, seed)
        return [{name: float(torch.cat([own[name] for own in record]).mean()) for name in ("entropy", "scale")}
                for record in records]

    def gradients(self, seed: int) -> dict[str, float]:
        """Norms of the gradients of Q, K, V and O in all MLE blocks; the model is of no use afterwards."""
        places = spread(TRAINING_UTTERANCES, len(self.waves))
        texts = [self._tokens(self.speech.texts[n]) for n in places]
        labels = [torch.from_numpy(encode_label(self.speech.languages[n])) for n in places]
        torch.manual_seed(seed)  # of dropout and SpecAugment
        self.model.train()
        self.encoder.label_routing = 1.0
        loss, *_ = self.model(
            pad_sequence([self.waves[n] for n in places], batch_first=True),
            torch.tensor([len(self.waves[n]) for n in places]),
            pad_sequence(texts, batch_first=True, padding_value=-1),
            torch.tensor([len(tokens) for tokens in texts]),
            lid=pad_sequence(labels, batch_first=True, padding_value=LABEL_PADDING),
        )
        loss.backward()
        return {name: self._norm(attribute) for name, attribute in PROJECTIONS.items()}

    def _tokens(self, text: str) -> torch.Tensor:
        tokens = self.speech2text.tokenizer.text2tokens(text)
        return torch.tensor(self.speech2text.converter.tokens2ids(tokens))

    def _norm(self, projection: str) -> float:
        """Of the gradients of that projection's matrices in all MLE blocks together."""
        weights = [weight for attention in self.attentions for weight in getattr(attention, projection).parameters()
                   if weight.dim() > 1]
        return float(sum(weight.grad.square().sum() for weight in weights) ** 0.5)


def spread(number: int, total: int) -> list[int]:
    """So many of the first `total` numbers, evenly spread; all of them where there are no more."""
    number = min(number, total)
    return [n * total // number for n in range(number)]


def draw_languages(
    own: Sequence[int], experts: Sequence[str], frames: Sequence[int], kind: str, share: float, seed: int
) -> list[torch.Tensor]:
    """Each utterance's language frame by frame, a share of them with wrong experts.

    What is wrong with a small share is just as wrong with a larger one, so that figures differ in nothing else.

    Args:
        own: the utterances' languages.
        experts: of every language.
        frames: of every utterance.
        kind: one of KINDS.

    Returns:
        (frames,) int64 of every utterance.
    """
    order = np.random.default_rng(seed).permutation(len(own))  # in which utterances go wrong
    drawn = []
    for n, (language, length) in enumerate(zip(own, frames)):
        rng = np.random.default_rng([seed, n])
        others = [other for other, expert in enumerate(experts) if expert != experts[language]]
        if kind == "frames":
            is_wrong, wrong = rng.random(length) < share, rng.choice(others, length)
        else:
            is_wrong, wrong = np.full(length, order[n] < round(share * len(own))), rng.choice(others)
        drawn.append(torch.from_numpy(np.where(is_wrong, wrong, language)))
    return drawn


def only(languages: list[torch.Tensor], number: int) -> LanguagePrior:
    """The prior that leaves every frame one of `number` languages; `languages` are (frames,) of every utterance."""
    padded = pad_sequence(languages, batch_first=True)
    excluded = torch.full((*padded.shape, number), -torch.inf)
    return LanguagePrior(excluded.scatter_(2, padded.unsqueeze(2), 0.0))


@contextmanager
def recorded(attention: SelfAttention) -> Iterator[list[dict[str, torch.Tensor]]]:
    """Inside the `with`, a list gets the entropy and the scale of the scores of every frame and head that attends.

    The attention itself tells its weights: they are what it gives for values that are an identity matrix.
    """
    record: list[dict[str, torch.Tensor]] = []
    attend = attention._attend

    def recording(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask, positions) -> torch.Tensor:
        assert mask is None  # on a CPU utterances attend one by one
        identity = torch.eye(k.size(2), dtype=torch.float64).expand(*k.shape[:2], -1, -1)
        in_double = None if positions is None else positions.double()  # so that no weight becomes zero
        weights = attend(q.double(), k.double(), identity, mask, in_double)
        # Scores differ from the logarithms of weights by the same number in a row.
        record.append({"entropy": torch.special.entr(weights).sum(dim=-1).flatten(),
                       "scale": weights.log().std(dim=-1, correction=0).flatten()})
        return attend(q, k, v, mask, positions)

    with mock.patch.object(attention, "_attend", recording):
        yield record


def measure(folder: str, speech: Speech, name: str, seed: int, own: list[dict]) -> Iterator[dict]:
    """What a model's results lack: texts of each condition, then one line for its attention and gradients."""
    missing = [c for c in CONDITIONS if not any((r.get("kind"), r.get("share")) == c for r in own)]
    has_insides = any("gradients" in r for r in own)
    if has_insides and not missing:
        return
    model = Model(folder, speech)
    for kind, share in progress_bar(missing, desc=name, leave=False):
        yield {"kind": kind, "share": share, "texts": model.recognise(kind, share, seed)}
    if not has_insides:
        attention = [model.attention(*condition, seed) for condition in ATTENTION]
        yield {"attention": attention, "gradients": model.gradients(seed)}


def counts_of(texts: dict[str, str], speech: Speech) -> np.ndarray:
    """(utterances, WER and CER, 4), as score.count gives them."""
    said = list(zip(speech.texts, (texts[u] for u in speech.ids), speech.languages))
    return count({"WER": [align_words(*own) for own in said], "CER": [align_characters(*own) for own in said]})


def error_tables(measured: dict[str, list[dict]], speech: Speech) -> str:
    """Error rates with no wrong expert, and by how much each share of wrong ones increases them."""
    counts = {(name, r["kind"], r["share"]): counts_of(r["texts"], speech)
              for name, own in measured.items() for r in own if "texts" in r}
    resampled = {condition: bootstrap(own) for condition, own in counts.items()}
    rates = {condition: error_rate(own.sum(axis=0)) for condition, own in counts.items()}

    def increase(condition: tuple[str, str, float], n: int) -> str:
        right = (condition[0], *NONE_WRONG)
        low, high = interval((resampled[condition] - resampled[right])[:, n])
        return f"{rates[condition][n] - rates[right][n]:+.1f} ({low:+.1f} to {high:+.1f})"

    tables = []
    for n, measure in enumerate(("Word", "Character")):
        rows = [[name, kind, f"{rates[name, *NONE_WRONG][n]:.1f}", *(increase((name, kind, p), n) for p in SHARES)]
                for name, kind in product(measured, KINDS)]
        head = ("model", "wrong", "none", *(f"{100 * share:g} %" for share in SHARES))
        tables += [f"### {measure} error rate, %, and its increase by the share in wrong experts",
                   markdown_table(head, rows)]
    return "\n\n".join(tables)


def inside_tables(measured: dict[str, list[dict]]) -> str:
    """Attention by block, and gradients."""
    insides = {name: next(r for r in own if "gradients" in r) for name, own in measured.items()}
    rows = [[name, str(block), *(f"{own[what]:.2f}" for what in ("entropy", "scale") for own in both)]
            for name, inside in insides.items() for block, both in enumerate(zip(*inside["attention"]), start=1)]
    wrong = f"{100 * ATTENTION[1][1]:g} % of frames wrong"
    head = ("model", "MLE block", "entropy, nats", wrong, "scale of the scores", wrong)
    gradients = [[name, *(f"{inside['gradients'][p]:.3g}" for p in PROJECTIONS)] for name, inside in insides.items()]
    return "\n\n".join(["### Attention, with all frames in their own experts and with some in wrong ones",
                        markdown_table(head, rows), "### Norm of the gradient of a training step",
                        markdown_table(("model", *PROJECTIONS), gradients)])


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--data_dir", type=Path, required=True, help="with wav.scp, text and utt2lang")
    parser.add_argument("--results", type=Path, required=True, help="file to go on with; a line for every decoding")
    parser.add_argument("--utterances", type=int, help="so many, spread over the data (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of what goes wrong (default: 0)")
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = get_parser()
    args = parser.parse_args(argv)
    folders = named_folders(parser, args.models)
    try:
        speech = Speech.of(args.data_dir, args.utterances)
        measured = {}
        with args.results.open("a", encoding="utf-8") as file:
            for name, folder in folders.items():
                key = {"folder": folder, "data": str(args.data_dir), "utterances": len(speech.ids), "seed": args.seed}
                measured[name] = kept_results(args.results, key)
                for line in measure(folder, speech, name, args.seed, list(measured[name])):
                    measured[name].append(line)
                    print(json.dumps(key | line, ensure_ascii=False), file=file, flush=True)
    except (ValueError, OSError) as error:
        sys.exit(f"wrong_experts: {error}")
    print(error_tables(measured, speech), inside_tables(measured), sep="\n\n")


if __name__ == "__main__":
    main()
