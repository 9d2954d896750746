"""Routers: language identification of every frame.

A third party's is named by its dotted path (`router: package.module.Class`).
"""

from espnet2.train.class_choices import ClassChoices

from espnet_blrmoe.model.router.abs_router import AbsRouter
from espnet_blrmoe.model.router.linear import LinearRouter
from espnet_blrmoe.model.router.tdnn import TDNNRouter

router_choices = ClassChoices(
    name="router",
    classes={"linear": LinearRouter, "tdnn": TDNNRouter},
    type_check=AbsRouter,
    default="tdnn",
)

__all__ = ["AbsRouter", "LinearRouter", "TDNNRouter", "router_choices"]
