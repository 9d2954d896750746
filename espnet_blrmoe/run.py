"""Run an unmodified ESPnet command with the plugin registered.

    python -m espnet_blrmoe.run -m espnet2.bin.asr_train --encoder blr_moe ...
    python -m espnet_blrmoe.run pyscripts/utils/some_script.py ...

With ESPnet's asr.sh: `--python "python3 -m espnet_blrmoe.run"`. `espnet2.bin.asr_inference` becomes the plugin's
own, which knows `--languages`. Processes that ESPnet spawns, one per GPU, import this module again and so
have the plugin too; it must not be a `__main__.py`, which Python leaves out there.
"""

import runpy
import sys

import espnet_blrmoe  # noqa: F401 (registers)

REPLACED = {"espnet2.bin.asr_inference": "espnet_blrmoe.bin.asr_inference"}


def main() -> None:
    """Hand over to the module (`-m name`) or script that the command line names."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
    elif len(arguments) > 1 and arguments[0] == "-m":
        module = REPLACED.get(arguments[1], arguments[1])
        sys.argv = [module, *arguments[2:]]
        runpy.run_module(module, run_name="__main__")
    elif arguments and arguments[0] != "-m":
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        sys.exit("usage: python -m espnet_blrmoe.run (-m MODULE | SCRIPT.py) [arguments]; --help says more")


if __name__ == "__main__":
    main()
