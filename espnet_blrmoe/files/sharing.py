"""Shared models: fetched and unpacked as espnet_model_zoo does, but with nothing in them trusted.

ESPnet packs a model into a zip or tar whose meta.yaml says which file is which option of Speech2Text. Anybody may have
made it, so only what has been checked here is unpacked; weights and configurations are then read without executing
anything (espnet_blrmoe.files.yaml_files, weights). Each version of a model has a folder of its own in
espnet_model_zoo's cache, which appears there whole or not at all: a new file of the same name, or at the same URL, is a
new version.
"""

import bz2
import functools
import gzip
import hashlib
import logging
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import requests
from espnet2.bin.pack import ASRPackedContents
from espnet_model_zoo import downloader

from espnet_blrmoe import caches
from espnet_blrmoe.files.yaml_files import read_mapping, write_mapping

ARCHIVES = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")  # ESPnet's
COMPRESSIONS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}  # of tars, by a file's first bytes
# What a packed model may unpack to: weights are hardly compressible, and its configuration is small.
MOST_EXPANSION, SMALL_BYTES = 20, 10 * 2**20
LONGEST_HEADER = 2**14
TOO_LARGE = "it would unpack to far more than a model of its size"
# ESPnet's parts that consist only of the checkpoint's weights, by configuration key. The others download or unpickle
# files of further projects.
SELF_CONTAINED = {
    "frontend": ("default", "sliding_window"),
    "encoder": ("blr_moe", "transformer", "conformer", "e_branchformer"),
    "postencoder": ("length_adaptor",),
    "decoder": (
        "transformer", "lightweight_conv", "lightweight_conv2d", "dynamic_conv", "dynamic_conv2d", "rnn", "transducer"
    ),
    "lm": ("seq_rnn", "transformer"),
    "token_type": ("char", "word", "bpe", "phn"),
}  # fmt: skip
CLASSES = ("router", "block_type", "router_input")  # options of the encoder that may name a class of another package


def fetch_model(model_tag: str | Path, cachedir: str | Path | None = None) -> dict[str, str]:
    """Fetch a packed model and unpack it, unless this version of it is in the cache.

    Args:
        model_tag: packed file, URL, id on the Hugging Face hub, or name in espnet_model_zoo's table.
        cachedir: folder to unpack into; None: espnet_model_zoo's, or, without a home, that of other caches.

    Returns:
        Options of Speech2Text: paths of the configuration and the weights.

    Raises:
        ValueError: it cannot be fetched, or is damaged or hostile; names it, and the cache is as it was.
    """
    model_tag = str(model_tag)
    try:
        zoo = downloader.ModelDownloader(cachedir or caches.model_folder())
        source = zoo.get_url(model_tag)  # a URL, the absolute path of a file, or the hub's address
        cache = Path(zoo.cachedir)
        if downloader.is_url(source):
            folder, fetch = folder_of_url(source, cache), functools.partial(download_and_extract, source)
        elif Path(source).exists() or model_tag.endswith(ARCHIVES):
            folder = cache / version_of_file(Path(model_tag))
            fetch = functools.partial(extract, Path(model_tag))
        else:
            snapshot = zoo.huggingface_download(model_tag)
            folder, fetch = cache / digest(snapshot), functools.partial(shutil.copytree, snapshot)
        if not folder.exists():
            install(fetch, folder)
    except Exception as error:  # requests, huggingface_hub, zipfile and tarfile raise many kinds of errors
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"model {model_tag}: {reason}") from error
    return {option: str(folder / name) for option, name in read_meta(folder).items()}


def digest(text: str) -> str:
    """A file's name for a text that cannot be one."""
    return hashlib.sha256(text.encode()).hexdigest()


def folder_of_url(url: str, cache: Path) -> Path:
    """The folder for the file's version; if the server cannot be reached, that of the newest one in the cache.

    Raises:
        requests.RequestException: no answer, and nothing in the cache, or an error.
    """
    try:
        return cache / f"{digest(url)}-{digest(version_of_url(url))}"
    except (requests.ConnectionError, requests.Timeout):
        versions = sorted(cache.glob(f"{digest(url)}-*"), key=lambda folder: folder.stat().st_mtime)
        if not versions:
            raise
        logging.warning("%s cannot be reached; the version that was fetched last is used", url)
        return versions[-1]


def version_of_url(url: str) -> str:
    """What the server says of the file, which changes when the file does; where it says nothing, only the URL.

    Raises:
        requests.RequestException: no answer, or an error.
    """
    with requests.get(url, stream=True, timeout=(10, 30)) as response:  # not HEAD, which some servers refuse
        response.raise_for_status()
        says = [response.headers.get(name, "") for name in ("ETag", "Last-Modified", "Content-Length")]
    return "\n".join([url, *says])


def version_of_file(path: Path) -> str:
    """The digest of its contents."""
    if path.is_dir():
        raise ValueError("it is a folder; give a packed file")
    if not path.is_file():
        raise ValueError("no such file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download_and_extract(url: str, folder: Path) -> None:
    """Download a packed model into the folder."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        downloader.download(url, Path(temporary) / "archive")  # never under a name that the server chooses
        extract(Path(temporary) / "archive", folder)


def install(fetch: Callable[[Path], object], folder: Path) -> None:
    """Let `fetch` fill a folder, check what it has brought, and only then give the folder its place.

    Raises:
        ValueError: it is not a packed model, or a hostile one.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        unfinished = Path(temporary) / "model"
        fetch(unfinished)
        files = [path.relative_to(unfinished) for path in unfinished.rglob("*") if path.is_file()]
        places = {str(file): str(folder / file) for file in files}
        for option, name in read_meta(unfinished).items():
            if option in ASRPackedContents.yaml_files:
                config = read_mapping(unfinished / name, name=f"its {name}")
                check_parts(config)
                write_mapping(unfinished / name, with_places(config, places))
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was quicker
                raise


def with_places(value: object, places: dict[str, str]) -> object:
    """A configuration with the places of the files that it names, which is what ESPnet's unpack writes too."""
    if isinstance(value, dict):
        return {name: with_places(item, places) for name, item in value.items()}
    if isinstance(value, list):
        return [with_places(item, places) for item in value]
    return places.get(str(PurePosixPath(value)), value) if isinstance(value, str) else value


def extract(archive: Path, folder: Path) -> None:
    """Extract a zip or tar into a new folder; only plain files, and none outside the folder.

    Raises:
        ValueError: it is neither, or holds a link, a device, a path that leads elsewhere, or far more than its size.
        Other kinds of zipfile and tarfile: it is damaged.
    """
    most = MOST_EXPANSION * archive.stat().st_size + SMALL_BYTES
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        archive = decompress(archive, Path(temporary) / "archive", most)
        with open_archive(archive) as packed:
            is_tar = isinstance(packed, tarfile.TarFile)
            if is_tar:
                members = [(m.name, m.size, m.isfile() or m.isdir()) for m in packed.getmembers()]
            else:
                members = [(m.filename, m.file_size, _is_plain(m)) for m in packed.infolist()]
            for name, _, is_plain in members:
                path = PurePosixPath(name)
                if path.is_absolute() or ".." in path.parts or "\\" in name:
                    raise ValueError(f"it holds {name!r}, a path outside its folder")
                if not is_plain:
                    raise ValueError(f"it holds {name!r}, which is neither a file nor a folder")
            if sum(size for _, size, _ in members) > most:
                raise ValueError(TOO_LARGE)
            packed.extractall(folder, **{"filter": "data"} if is_tar else {})


def decompress(archive: Path, target: Path, most: int) -> Path:
    """Write what a compressed tar holds to a file, of which tarfile reads no more than its size; any other stays.

    Raises:
        ValueError: that is more than `most` bytes.
        Other kinds of gzip, bz2 and lzma: it is damaged.
    """
    with archive.open("rb") as file:
        start = file.read(8)
    for magic, open_compressed in COMPRESSIONS.items():
        if start.startswith(magic):
            with open_compressed(archive) as content, target.open("wb") as file:
                while piece := content.read(2**20):
                    file.write(piece)
                    if file.tell() > most:
                        raise ValueError(TOO_LARGE)
            return target
    return archive


class _SmallHeader(tarfile.TarInfo):
    """Refuses long extended headers, for which Python before 3.11.10 and 3.12.6 needs time that grows as the square."""

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size > LONGEST_HEADER:
            raise ValueError(f"it holds a header of {self.size:,} bytes, which no model needs")
        return super()._proc_pax(archive)


def open_archive(path: Path) -> tarfile.TarFile | zipfile.ZipFile:
    """Open a tar or zip.

    Raises:
        ValueError: it is neither, cut off, or made to take unlimited time or memory.
    """
    try:  # first: a tar that ends with a checkpoint looks like a zip too
        return tarfile.open(path, "r:", tarinfo=_SmallHeader)
    except tarfile.TarError:
        pass
    members = []
    if zipfile.is_zipfile(path):
        packed = zipfile.ZipFile(path)
        members = packed.infolist()
    if not members or min(m.header_offset for m in members) > 0:  # what is left of a cut zip may end with a checkpoint
        raise ValueError("it is neither zip nor tar: cut off, damaged, or something else, such as a web page")
    if {m.compress_type for m in members} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError("it is not compressed the way zips usually are; pack it as ESPnet does")
    return packed


def _is_plain(member: zipfile.ZipInfo) -> bool:
    """Whether it is a file or a folder; zips made elsewhere than on Unix do not say."""
    return stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)


def read_meta(folder: Path) -> dict[str, str]:
    """meta.yaml of an unpacked model: options of Speech2Text and the files, relative to the folder, that they name.

    Raises:
        ValueError: it is missing, malformed or incomplete, or names other options or files outside the folder.
    """
    if not (folder / "meta.yaml").is_file():
        raise ValueError("it has no meta.yaml, and so is not a packed model; pack one with espnet2.bin.pack")
    meta = read_mapping(folder / "meta.yaml", name="its meta.yaml")
    parts = [meta.get("yaml_files"), meta.get("files")]
    if not all(isinstance(part, dict) for part in parts):
        raise ValueError("its meta.yaml has no yaml_files or files")
    named = parts[0] | parts[1]
    known = {*ASRPackedContents.yaml_files, *ASRPackedContents.files}
    for option, name in named.items():
        if option not in known:
            raise ValueError(f"its meta.yaml gives {option!r}, which no packed model has")
        if not isinstance(name, str) or not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"its meta.yaml names {name!r}, a path outside its folder")
        if not (folder / name).is_file():
            raise ValueError(f"its meta.yaml names {name!r}, which it lacks")
    for option in ("asr_train_config", "asr_model_file"):
        if option not in named:
            raise ValueError(f"its meta.yaml names no {option}: it is not a speech recogniser")
    return named


def check_parts(config: dict) -> None:
    """Refuse a configuration that lets ESPnet fetch or unpickle anything beside the checkpoint, or run others' code.

    Raises:
        ValueError: names the part.
    """
    for key, allowed in SELF_CONTAINED.items():
        if config.get(key) not in (None, *allowed):
            raise ValueError(
                f"its configuration has {key}: {config[key]!r}, which may load files that cannot be checked; "
                "unpack it yourself if you trust it"
            )
    encoder_conf = config.get("encoder_conf")
    for option in CLASSES if isinstance(encoder_conf, dict) else ():
        if "." in str(encoder_conf.get(option)):
            raise ValueError(
                f"its configuration has {option}: {encoder_conf[option]!r}, a class of another package, whose code it "
                "would run; unpack it yourself if you trust it"
            )
