"""Encoder blocks. A third party's is named by its dotted path (`block_type: package.module.Class`)."""

from espnet2.train.class_choices import ClassChoices

from espnet_blrmoe.model.blocks.abs_block import AbsBlock, BlockOptions
from espnet_blrmoe.model.blocks.conformer import ConformerBlock
from espnet_blrmoe.model.blocks.e_branchformer import EBranchformerBlock
from espnet_blrmoe.model.blocks.transformer import TransformerBlock

block_choices = ClassChoices(
    name="block_type",
    classes={"transformer": TransformerBlock, "conformer": ConformerBlock, "e_branchformer": EBranchformerBlock},
    type_check=AbsBlock,
    default="transformer",
)

__all__ = ["AbsBlock", "BlockOptions", "ConformerBlock", "EBranchformerBlock", "TransformerBlock", "block_choices"]
