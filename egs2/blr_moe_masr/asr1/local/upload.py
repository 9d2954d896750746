"""Upload a packed model to the Hugging Face hub; without --repo, only say what would be uploaded.

Example:
    python local/upload.py exp/asr/model.zip                     (dry run)
    python local/upload.py exp/asr/model.zip --repo me/my_model  (needs `hf auth login` or HF_TOKEN)
"""

import argparse
import tempfile
import zipfile
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from shared.kaldi_tables import UserError

from espnet_blrmoe.program import start


def main(argv: list[str] | None = None) -> None:
    """Unpack the zip into the hub's repository, where espnet_model_zoo finds meta.yaml."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo", help="name of the repository on the hub: user/model")
    parser.add_argument("model", type=Path, help="zip of stage 20")
    args = parser.parse_args(argv)
    if not args.model.is_file():
        raise UserError(f"{args.model} does not exist: run stage 20 first")
    if not zipfile.is_zipfile(args.model):
        raise UserError(f"{args.model} is not a zip, or is cut off: run stage 20 again")
    with zipfile.ZipFile(args.model) as packed:
        for file in packed.infolist():
            print(f"  {file.file_size / 2**20:8.2f} MiB  {file.filename}")
    if not args.repo:
        print("dry run, nothing is uploaded; name a repository with --hf_repo user/model to upload this")
        return
    with tempfile.TemporaryDirectory() as folder:
        unpack(args.model, Path(folder) / "model")
        upload(args.repo, Path(folder) / "model")


def unpack(model: Path, folder: Path) -> None:
    """Unpack the zip into a new folder.

    Raises:
        UserError: it is damaged, or holds what would be written outside the folder.
    """
    from espnet_blrmoe.files.sharing import extract  # imports ESPnet, for which a dry run need not wait

    try:
        extract(model, folder)
    except OSError as error:
        raise UserError(f"{model} cannot be unpacked: {error}; TMPDIR names the folder for it") from error
    except Exception as error:  # zipfile raises many kinds of errors
        raise UserError(f"{model}: {error}; run stage 20 again") from error


def upload(repo: str, folder: Path) -> None:
    """Create the repository if need be and upload the folder.

    Raises:
        UserError: the hub refuses or cannot be reached.
    """
    api = HfApi()
    try:
        api.create_repo(repo, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(f"cannot upload to {repo}: {str(error).splitlines()[0]}") from error
    print(f"uploaded: https://huggingface.co/{repo}")


if __name__ == "__main__":
    start(main)
