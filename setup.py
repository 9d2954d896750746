"""Package metadata of espnet_blrmoe: the ESPnet plugin. The recipe under egs2/ runs from a clone."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="espnet_blrmoe",
    version="0.2.0",
    description="BLR-MoE: language-routed mixture of experts for multilingual speech recognition, as an ESPnet plugin",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["espnet_blrmoe", "espnet_blrmoe.*"]),
    package_data={"espnet_blrmoe": ["py.typed"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        # Tested with 202511 and 202611: the plugin builds on ESPnet's internals (espnet_internals.py). ESPnet says
        # which torch it works with, so none of another version is installed beside an ESPnet that is there.
        "espnet>=202511,<202612",
        "torch>=2.10",  # torch.nn.functional.grouped_mm
        "torchaudio",  # ESPnet 202511 imports it, but does not require it
        "espnet_model_zoo",  # Speech2Text.from_pretrained
        "humanfriendly",  # sizes of files
        "numpy>=2",
        "onnxruntime",  # runs silero-vad's network in one go, from any number of threads
        "PyYAML",  # configurations
        "rapidfuzz",  # counts errors where editdistance is not installed
        "requests",  # whether a shared model has changed; espnet_model_zoo downloads through it
        "scikit-learn",  # calibration of confidences
        "scipy",  # audio conditions of the augmentation
        "sentencepiece",  # BPE tokens
        "silero-vad>=6.2.3",  # tells silence and noise; its network of 1 MB is inside
        "soundfile",  # audio files
        "soxr",  # resampling
        "tabulate",  # tables on the terminal
        "torchmetrics>=1.8",  # equal error rate and calibration of a router
        "tqdm",  # progress bars
        "wrapt",  # registers the plugin when ESPnet is imported
    ],
    entry_points={"console_scripts": ["espnet-blrmoe = espnet_blrmoe.bin.main:main"]},
    extras_require={
        "recipe": [
            "babel", "espeakng-loader", "fonttools", "huggingface_hub", "jiwer>=4", "num2words", "numpy", "scipy",
            "soundfile", "soxr", "tqdm",
        ],  # fmt: skip
        "export": ["onnx"],
        "ngram": ["kaldingram", "ufal.kenlm"],  # makes word n-grams; reads them: KenLM, built
        "parquet": ["pyarrow"],  # reads ASCEND, whose audio is inside Parquet files
        "report": ["jinja2", "matplotlib", "numpy", "pyyaml"],
        "test": ["pytest", "hypothesis"],
    },
)
