"""The interface of a router."""

from abc import ABC, abstractmethod

import torch

from espnet_blrmoe.model.rows import append_rows, keep_rows


class AbsRouter(torch.nn.Module, ABC):
    """Gives every frame a logit for every language.

    A subclass takes `input_size` (width of its input) and `num_languages` (E), then its `router_conf`. Its last layer
    is a torch.nn.Linear called `output`; a router of another kind has its own `keep_languages` and `add_language`.

    Attributes:
        ahead: frames beyond each frame that it reads, of its input; None: it cannot follow a stream.
    """

    output: torch.nn.Linear
    ahead: int | None = None

    def keep_languages(self, kept: list[int]) -> None:
        """Forget all languages but these, which get this order.

        Raises:
            ValueError: the router has no last layer `output`.
        """
        keep_rows(self._output_layer("keep_languages"), kept)

    def add_language(self, like: int | None) -> None:
        """One more language after the others, which scores like language `like` until the router is trained.

        Args:
            like: index of a language; None for a fresh row of the last layer.

        Raises:
            ValueError: the router has no last layer `output`.
        """
        output = self._output_layer("add_language")
        if like is None:
            append_rows(output, torch.nn.Linear(output.in_features, 1))
        else:
            append_rows(output, output, [like])

    def _output_layer(self, method: str) -> torch.nn.Linear:
        output = getattr(self, "output", None)
        if not isinstance(output, torch.nn.Linear):
            raise ValueError(f"{type(self).__name__} has no linear layer `output`; give it a {method} of its own")
        return output

    @abstractmethod
    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Classify frames.

        Args:
            x: (B, T, input_size).
            valid: (B, T) bool, True for frames, False for padding, which must not change any frame's result.

        Returns:
            (B, T, E) logits.

        A router that can follow a stream takes a third argument, `past`, which is WHOLE by default: what came before
        the frames (see model/past.py). In a stream, the logits are those of the frames `ahead` frames earlier.
        """
