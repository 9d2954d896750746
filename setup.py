"""Package metadata of espnet_blrmoe: the ESPnet plugin. The recipe under egs2/ runs from a clone."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="espnet_blrmoe",
    version="0.1.0",
    description="BLR-MoE: language-routed mixture of experts for multilingual speech recognition, as an ESPnet plugin",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["espnet_blrmoe", "espnet_blrmoe.*"]),
    python_requires=">=3.11,<3.13",
    install_requires=[
        # The plugin reaches into ESPnet's internals, which move in the next release; this one is tested.
        "espnet>=202511,<202601",
        "setuptools<74",  # espnet imports distutils through it
        "torch>=2.11,<2.12",  # the newest that has a matching torchaudio
        "torchaudio>=2.11,<2.12",
        "sentencepiece",  # BPE tokens
        "scipy",  # audio conditions of the augmentation
        "soundfile",  # audio files
        "soxr",  # audio conditions: resampling by any factor
        "espnet_model_zoo",  # Speech2Text.from_pretrained
        "torchmetrics>=1.8",  # equal error rate and calibration of a router
        "requests",  # whether a shared model has changed; espnet_model_zoo downloads through it
    ],
    entry_points={"console_scripts": ["espnet-blrmoe = espnet_blrmoe.bin.main:main"]},
    extras_require={
        "recipe": [
            "espeakng-loader", "huggingface_hub", "jiwer>=4", "num2words", "numpy", "scipy", "soundfile", "soxr", "tqdm"
        ],  # fmt: skip
        "export": ["onnx", "onnxruntime"],
        "report": ["jinja2", "matplotlib", "numpy", "pyyaml"],
        "test": ["pytest", "hypothesis"],
    },
)
