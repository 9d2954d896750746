"""Run an unmodified ESPnet command with the plugin registered.

    python -m espnet_blrmoe.run -m espnet2.bin.asr_train --help
    python -m espnet_blrmoe.run local/score.py --help

With ESPnet's asr.sh: `--python "python3 -m espnet_blrmoe.run"`. `espnet2.bin.asr_train`, `asr_inference` and
`asr_inference_streaming` become the plugin's own, which know more options (`--languages`). Processes that a command
spawns, one per GPU, import the main module again; that is this one, so they have the plugin too. It must not be a
`__main__.py`, which Python does not import there.
"""

import os
import runpy
import sys
from pathlib import Path

from espnet_blrmoe.program import start

REPLACED = {
    f"espnet2.bin.{name}": f"espnet_blrmoe.bin.{name}"
    for name in ("asr_train", "asr_inference", "asr_inference_streaming")
}
SCRIPT = "ESPNET_BLRMOE_SCRIPT"  # environment variable that names the script to the processes that it spawns


def main() -> None:
    """Hand over to the module (`-m name`) or script that the command line names."""
    arguments = sys.argv[1:]
    os.environ.pop(SCRIPT, None)
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
    elif len(arguments) > 1 and arguments[0] == "-m":
        module = REPLACED.get(arguments[1], arguments[1])
        sys.argv = [module, *arguments[2:]]
        read_stretches()
        runpy.run_module(module, run_name="__main__")
    elif arguments and Path(arguments[0]).is_file():
        sys.argv = arguments
        os.environ[SCRIPT] = os.path.abspath(arguments[0])
        read_stretches()
        run_script()
    else:
        sys.exit("usage: python -m espnet_blrmoe.run (-m MODULE | SCRIPT.py) [arguments]; --help says more")


def read_stretches() -> None:
    """Let ESPnet's data type `sound` read stretches of recordings in this process."""
    from espnet_blrmoe.training import sound  # --help does without ESPnet

    sound.read_stretches()


def run_script() -> None:
    """Run the script as `python SCRIPT` does, but within this module, which thus stays the main one."""
    path = Path(os.environ[SCRIPT])
    sys.path.insert(0, str(path.parent))
    globals()["__file__"] = str(path)
    exec(compile(path.read_bytes(), path, "exec"), globals())


if __name__ == "__main__":
    start(main)
elif __name__ == "__mp_main__":  # a process that the command spawned
    read_stretches()
    if SCRIPT in os.environ:
        run_script()
