"""What a recogniser must have to follow a stream: no part of it may wait for the utterance's end."""

import torch
from espnet2.asr.frontend.default import DefaultFrontend
from espnet2.layers.global_mvn import GlobalMVN

from espnet_blrmoe.model.running_mvn import RunningMVN


def refuse_what_cannot_stream(model: torch.nn.Module) -> None:
    """Check an ESPnet model with a BLRMoEEncoder that has `chunk_sizes`.

    Raises:
        ValueError: a part of it cannot follow a stream; says what to train instead.
    """
    router, frontend = model.encoder.router, model.frontend
    if not isinstance(frontend, DefaultFrontend) or frontend.stft is None:
        raise ValueError("encoder_conf: chunk_sizes need ESPnet's default front end (frontend: default)")
    if frontend.stft.center:
        raise ValueError("encoder_conf: chunk_sizes need frontend_conf: center: false, to hear nothing ahead of time")
    if frontend.frontend is not None and (frontend.frontend.use_wpe or frontend.frontend.use_beamformer):
        raise ValueError("encoder_conf: chunk_sizes do not go with dereverberation or a beamformer in the front end")
    if not isinstance(model.normalize, GlobalMVN | RunningMVN | None):
        raise ValueError(
            f"encoder_conf: chunk_sizes do not go with normalisation by {type(model.normalize).__name__}, which needs "
            "the whole utterance; choose normalize: running_mvn (run.sh: --feats_normalize running_mvn)"
        )
    if model.preencoder is not None or model.postencoder is not None:
        raise ValueError("encoder_conf: chunk_sizes do not go with a preencoder or postencoder")
    if router is not None and router.ahead is None:
        raise ValueError(
            f"encoder_conf: chunk_sizes need a router that says how many frames it reads ahead, and "
            f"{type(router).__name__} has no `ahead`"
        )
