"""The front door: every command under one name, and the one place where an error becomes words and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from alpaca_cli import __version__
from alpaca_cli.cli import dedup, diff, finetune, format, generate, quickstart, recipes, rehearsal, screen
from alpaca_cli.errors import AlpacaError, Problem

# Typer keeps its own copy of Click from 0.26 on, and uses the installed one before; this is the class of either.
_USAGE_ERRORS: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

# Trouble of the machine and not of ours, wherever it shows: a full disk behind stdout, a broken one.
_MACHINE_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)

app = typer.Typer(
    name="alpaca",
    help="From seed tasks to an instruction-following model, one command a step.",
    epilog="First time here?  alpaca quickstart",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        screen.emit(f"alpaca {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass


app.command("quickstart")(quickstart.quickstart)
app.command("generate")(generate.generate)
app.command("dedup")(dedup.dedup)
app.command("format")(format.format)
app.command("finetune")(finetune.finetune)
app.command("finetune-worker", hidden=True)(finetune.finetune_worker)
app.command("rehearsal")(rehearsal.rehearsal)
app.add_typer(diff.app, name="diff")
app.add_typer(recipes.app, name="recipes")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name); returns the exit code.  The codes are drawn in `errors.py`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "_ALPACA_COMPLETE" in os.environ:
        # Typer imports Rich only to strip markup that our help does not have; without it a TAB takes half the time.
        sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    as_json = "--json" in arguments
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # schedulers stop with it: clean up as after Ctrl-C
    try:
        code = app(arguments, prog_name="alpaca", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except AlpacaError as error:
        return _failed(error.problems, error.exit_code, type(error).__name__, as_json=as_json)
    except _USAGE_ERRORS as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "alpaca"
        text = str(getattr(error, "format_message", error.__str__)())
        if type(error).__name__ == "NoArgsIsHelpError":
            screen.say(text)
            return 2
        return _failed([Problem(_sentence(text), hint=f"see {command} --help")], 2, "UsageError", as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        screen.say("interrupted")
        return 130
    except screen.OutputClosed:
        # Let Python's own flush at exit find nothing to complain about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if isinstance(error, OSError) and (error.errno in _MACHINE_TROUBLE or not _has_working_directory()):
            problem = Problem(_sentence(error.strerror or str(error)), error.filename and str(error.filename))
            return _failed([problem], 2, "UsageError", as_json=as_json and error.errno not in _MACHINE_TROUBLE)
        screen.say(traceback.format_exc().rstrip())
        screen.fail([Problem(f"this is a bug in alpaca {__version__}", hint="please report it with the lines above")])
        return 1


def _has_working_directory() -> bool:
    try:
        os.getcwd()  # noqa: PTH109  (Path.cwd() is the same call)
    except OSError:
        return False
    return True


def _failed(problems: Sequence[Problem], code: int, kind: str, *, as_json: bool) -> int:
    screen.fail(problems)
    if as_json:
        found = [{"message": each.message, "where": each.where, "hint": each.hint} for each in problems]
        screen.emit_json({"error": {"kind": kind, "exit_code": code, "problems": found}})
    return code


def _sentence(text: str) -> str:
    """Click's message in our manner: one line, lower case, no full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line[:1].lower() + line[1:]
