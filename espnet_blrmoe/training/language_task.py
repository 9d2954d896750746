"""Adding a language: trains its expert and its own tokens with ESPnet's Trainer; the rest of the model is frozen."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from torch.nn.utils import parametrize

from espnet_blrmoe.files.extending import add_language
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import load_asr_model, read_blr_moe_config, sampling_rate, write_model
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.model.asr_model import BLRMoEModel, utterance_name
from espnet_blrmoe.model.experts import ExpertLinear, LowRankExpertLinear, PackedExperts
from espnet_blrmoe.model.prior import LanguagePrior
from espnet_blrmoe.tables import read_table
from espnet_blrmoe.training.finetuning import FineTunedModel, FineTuningTask

# What the model's configuration says of its texts; the training of a language keeps to it.
TEXT_OPTIONS = ("token_list", "token_type", "bpemodel", "non_linguistic_symbols", "cleaner", "g2p")


class NewRows(torch.nn.Module):
    """Parametrization of a tensor whose first rows are frozen: only the others are a parameter.

    A gradient of zero would not freeze them: weight decay moves parameters without a gradient too.
    """

    def __init__(self, frozen: torch.Tensor):
        super().__init__()
        self.register_buffer("frozen", frozen.detach().clone())

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows that learn -> the whole tensor."""
        return torch.cat([self.frozen, rows])

    def right_inverse(self, whole: torch.Tensor) -> torch.Tensor:
        """The whole tensor -> the rows that learn."""
        return whole[len(self.frozen) :].clone()


class NewLanguageModel(FineTunedModel):
    """A trained ASR model of which only the newest language learns: its expert, unless that is an old one, which stays,
    and the newest tokens' CTC output.

    Args:
        asr_model: the larger model, as `add_language` makes it.
        num_old_tokens: how many of its tokens it had before.
    """

    def __init__(self, asr_model: BLRMoEModel, num_old_tokens: int):
        super().__init__(asr_model)
        self.language = asr_model.languages[-1]
        self.prior = LanguagePrior.allow([[self.language]], asr_model.languages)
        self.with_experts = [  # attention and feed-forward modules
            module
            for module in asr_model.modules()
            if any(isinstance(child, (ExpertLinear, LowRankExpertLinear)) for child in module.children())
        ]
        names = asr_model.encoder.groups.names
        for module in list(asr_model.modules()):
            if isinstance(module, PackedExperts) and names.count(names[-1]) == 1:
                learn_rows(module, len(asr_model.encoder.groups.experts) - 1)
        if num_old_tokens < len(asr_model.token_list):
            learn_rows(asr_model.ctc.ctc_lo, num_old_tokens)

    def train(self, mode: bool = True) -> "NewLanguageModel":
        """SpecAugment, the dropout beside experts, and whether chunks are drawn follow `mode`; all else evaluates."""
        super().train(mode)
        self.asr_model.eval()
        self.asr_model.training = mode  # ESPnet's model decides by this whether to augment
        self.asr_model.encoder.training = mode
        for module in self.with_experts:
            module.train(mode)
        return self

    def forward(
        self, lid: torch.Tensor | None = None, utt_id: list[str] | None = None, **batch
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """ESPnet's loss and statistics of a batch, all of whose frames go to the new language's expert.

        Arguments as in BLRMoEModel.forward, by name; `lid` is only looked at.

        Raises:
            ValueError: an utterance, or a stretch of one, is in another language.
        """
        if lid is not None:
            labels = self.asr_model.language_labels(lid, utt_id)
            for position, stretches in enumerate(labels.language.tolist()):
                others = {self.asr_model.languages[n] for n in stretches} - {self.language}
                if others:
                    raise ValueError(
                        f"utterance {utterance_name(utt_id, position)} has language {min(others)!r} in utt2lang; "
                        f"give utterances in {self.language!r} only"
                    )
        with self.asr_model.encoder.route(prior=self.prior):
            return ESPnetASRModel.forward(self.asr_model, **batch)

    @torch.no_grad()
    def load_learned(self, path: str | Path) -> None:
        """Take what learns from a checkpoint of the training, nothing else: averaging rounds what stays the same."""
        learning = self.learning()
        trained = read_weights(path) if learning else {}
        for name, parameter in learning.items():
            parameter.copy_(trained[name])

    def learning(self) -> dict[str, torch.nn.Parameter]:
        """What learns, by name: nothing in a language that shares an expert and brings no tokens."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def joined(self) -> BLRMoEModel:
        """The ASR model with ordinary weights; this one can no longer learn."""
        for module in list(self.modules()):
            if parametrize.is_parametrized(module):
                for name in list(module.parametrizations):
                    parametrize.remove_parametrizations(module, name)
        return self.asr_model


def learn_rows(layer: torch.nn.Module, start: int) -> None:
    """Let the rows of the layer's weight and bias learn from `start` on."""
    for name, whole in list(layer.named_parameters()):
        parametrize.register_parametrization(layer, name, NewRows(whole[:start]))
        layer.parametrizations[name].original.requires_grad_(True)


class LanguageTask(FineTuningTask):
    """ESPnet task of NewLanguageModel: data are `speech` and `text` of the new language, optionally its `lid`."""

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """FineTuningTask's options and the language."""
        super().add_task_arguments(parser)
        group = parser.add_argument_group("The language that is added")
        group.add_argument("--language", help="its code, for example fr")
        group.add_argument("--like", help="start from the expert of this language of the model (default: from scratch)")
        group.add_argument("--group", help="share this group's expert, which stays as it is, instead of getting one")
        parser.set_defaults(required=[*parser.get_default("required"), "language"])

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """FineTuningTask's training, if there is anything to learn; raises what that and `extended_model` raise."""
        if args.group is None or extended_model(args)[1].learning():
            super().main_worker(args)

    @classmethod
    def languages_of(cls, args: argparse.Namespace) -> Sequence[str]:
        """The new one alone."""
        return (args.language,)

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """Audio and transcript."""
        return "speech", "text"

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """The language label."""
        return ("lid",)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> NewLanguageModel:
        """Add the language to the trained model; its text options become the training's.

        Raises:
            ValueError: as `extended_model`.
        """
        config, model = extended_model(args)
        for name in TEXT_OPTIONS:
            setattr(args, name, config.get(name))
        args.preprocessor = "blr_moe"
        args.preprocessor_conf = {"fs": sampling_rate(config), **args.preprocessor_conf}
        return model


def extended_model(args: argparse.Namespace) -> tuple[dict, NewLanguageModel]:
    """The trained model of the options with the new language, untrained; first its configuration.

    Raises:
        ValueError: a file is missing or not of a BLR-MoE model, the model cannot take in the language (see
            `add_language`), or the training data have no transcripts.
    """
    files = ModelFiles.of_options(args)
    config, asr_model = read_blr_moe_config(files.config), load_asr_model(files)
    texts = training_texts(args.train_data_path_and_name_and_type)
    larger_config, larger = add_language(config, asr_model, args.language, texts, args.like, args.group)
    return larger_config, NewLanguageModel(larger, len(config["token_list"]))


def training_texts(data: list[tuple[str, str, str]]) -> list[str]:
    """The transcripts among training data (path, name, type).

    Raises:
        ValueError: there are none, or the table is missing or broken.
    """
    paths = [path for path, name, _ in data if name == "text"]
    if not paths:
        raise ValueError("no transcripts; add --train_data_path_and_name_and_type FOLDER/text,text,text")
    texts = list(read_table(paths[0]).values())
    if not any(texts):
        raise ValueError(f"{paths[0]} holds no transcript; give lines with an utterance and its text")
    return texts


def write_extended_model(args: argparse.Namespace, trained: Path, folder: Path) -> BLRMoEModel:
    """Write the larger model with what the training learned; what it did not learn is bit-identical to the old model's.

    Args:
        args: options of the training.
        trained: checkpoint that it wrote, if there was anything to learn.
        folder: to write the model's files into.
    """
    set_all_random_seed(args.seed)  # a fresh class of the router, which is not trained, is then the same again
    config, model = extended_model(args)
    model.load_learned(trained)
    write_model(config, model.joined().state_dict(), folder)
    return model.asr_model
