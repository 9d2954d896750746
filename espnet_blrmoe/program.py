"""What a program does around its main function, so that what it prints arrives, or the program says that it did not."""

import codecs
import errno
import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

ALL_COMMANDS = "espnet-blrmoe"  # the program that has the others as its commands
ESCAPES = "json_escapes"  # name of the way to write letters that a terminal lacks
READER_LEFT = 141  # exit status of programs that write into a pipe which nobody reads any more, in shells


def start(main: Callable[[], None]) -> None:
    """Run a program's main function; within another program that was started so, nothing else happens.

    Where the locale knows ASCII only, Python starts anew in its UTF-8 mode. Letters that the encoding of the output
    lacks are printed as JSON's escapes, for example \\u00fc: JSON stays the same, and everything else readable. Where
    nobody reads the output any more (`| head`), or after Ctrl-C, the program ends without a word.

    Raises:
        SystemExit: main's; or with status 141, nobody reads the output; or standard output has no room.
    """
    own = sys.__stdout__
    if own is not None and sys.stdout is own:  # not within another program, nor a test
        if sys.getfilesystemencoding() == "ascii":  # no other letters could be in a file's name
            os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
        sys.excepthook = _print_unless_interrupted
        own.flush()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_StandardOutput(own.fileno(), "w", closefd=False)),
            encoding=own.encoding,
            errors=ESCAPES,
            line_buffering=own.line_buffering or own.write_through,
        )
    try:
        main()
    except BaseException as ended:
        if not isinstance(ended, SystemExit) or ended.code:  # why it ended matters more than the rest of its output
            with suppress(SystemExit):
                _flush()
        raise
    finally:
        _flush()


def command(module: str) -> str:
    """What a program's messages call it: the command of espnet-blrmoe that was typed, or the program's module."""
    typed, prefix = sys.argv[0], f"{ALL_COMMANDS} "
    return typed.removeprefix(prefix) if typed.startswith(prefix) else module


def _print_unless_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):  # after which Python ends as by the signal, so that shells know
        sys.__excepthook__(kind, error, trace)


def _flush() -> None:
    if sys.stdout is not None:  # it is where the caller has closed it
        sys.stdout.flush()


class _StandardOutput(io.FileIO):
    """Ends the program when it cannot write; main functions would take an OSError for one of a file that they write."""

    has_failed = False

    def write(self, data: memoryview) -> int | None:
        if self.has_failed:  # what is left is written when Python exits
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self.has_failed = True
            if error.errno == errno.EPIPE:
                raise SystemExit(READER_LEFT) from None
            raise SystemExit(f"standard output cannot be written: {error.strerror}") from error


def _escaped(error: UnicodeEncodeError) -> tuple[str, int]:
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ESCAPES, _escaped)
