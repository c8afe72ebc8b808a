"""The group `hush-otel`, and how every command ends.

Exit codes: 0 done · 1 a HushError, one line on stderr; a ledger that does not balance (`audit`), something to
hide (`redact`), deliveries that did not arrive (`retry`) · 2 a usage error · 130 interrupted · 141 nobody
reads any more (`hush-otel ls | head`), without a word.
"""

from __future__ import annotations

import errno
import gc
import importlib
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from hush_otel.background.garbage import THRESHOLDS
from hush_otel.errors import HushError
from hush_otel.presentation.text import clean
from hush_otel.version import __version__

from . import standard_output

COMMANDS: Final = {
    "demo": "Run a small traced workflow and watch it arrive, with nothing else running.",
    "ls": "List requests, newest first.",
    "show": "Show one request as a tree of spans.",
    "tail": "Follow what happens: spans start, finish and fail.",
    "stats": "Count requests, errors, durations, tokens and cost: by workflow, model and day.",
    "diff": "Compare two requests step by step.",
    "share": "Write one request into a file that can be given away.",
    "ui": "Look at requests in the browser, live.",
    "status": "Show the database, the background process, and what waits, failed or was lost.",
    "deliveries": "List deliveries, newest first: one request to one destination each.",
    "retry": "Send deliveries again that are dead or paused, or wait for their next try.",
    "replay": "Send requests of the past to a destination, with their own ids.",
    "reprice": "Compute costs anew that no app has given, by today's price table.",
    "explain": "Show what a vendor would get of a request, and send nothing.",
    "export": "Write requests of the past into a file, or to standard output (PATH is -).",
    "redact": "Show what the rules of [redaction] would hide of what is stored already.",
    "audit": "Check that nothing has disappeared: the loss ledger.",
    "doctor": "Look at everything that delivery depends on, and say what mends it.",
    "prune": "Delete old requests with all that belongs to them, and give their room back.",
    "run": "Run the background process in the foreground.",
    "drain": "Store everything that is in the spool, once, and exit.",
    "completion": "Print what makes your shell complete commands, options, ids and names.",
}
"""The subcommands and their help lines. `hush-otel --help` imports none of them."""

EXIT_ERROR: Final = 1
EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""
CANNOT_WRITE: Final = frozenset({errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC})
"""What a write fails with that names no file; anything else without a name is a mistake of ours."""
EXIT_CLOSED_PIPE: Final = 141
"""128 + SIGPIPE, as of a command that does not catch it."""


class _NobodyReadsError(Exception):
    """Standard output is closed."""


@contextmanager
def _closed_pipe_told() -> Iterator[None]:
    """Without it click and rich end the process, each with a code of its own."""
    try:
        yield
    except BrokenPipeError as exc:
        raise _NobodyReadsError from exc
    except SystemExit as exc:
        if isinstance(exc.__context__, BrokenPipeError):
            raise _NobodyReadsError from exc
        raise


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are called: `cli/<name>.py` holds `command`."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Options of the group's own may print, too."""
        with _closed_pipe_told():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """The subcommand."""
        with _closed_pipe_told():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one subcommand; None when there is no such one."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f".{cmd_name}", __package__).command
        if not any(parameter.name == "db" for parameter in command.params):
            command.params.append(_db_after_the_command())
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Subcommands, without importing them, and the group's own options."""
        names = [
            CompletionItem(name, help=line) for name, line in COMMANDS.items() if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _named(ctx: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """A path, or none at all. The empty one is of a script whose variable is not set."""
    if not value and value is not None and not ctx.resilient_parsing:
        raise click.UsageError("--db is empty: give the path of a database, or leave it out", ctx)
    return value


def _db_after_the_command() -> click.Option:
    """`hush-otel ls --db PATH` means the same as `hush-otel --db PATH ls`."""

    def take(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.obj = _named(ctx, option, value)

    return click.Option(
        ["--db"], metavar="PATH", expose_value=False, callback=take, is_eager=True, help="The database."
    )


@click.group(
    cls=LazyGroup,
    name="hush-otel",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--db",
    metavar="PATH",
    callback=_named,
    help="The database. Default: $HUSH_TRACES_DB, the config file, or ~/.hush/traces.db.",
)
@click.version_option(__version__, prog_name="hush-otel")
@click.pass_context
def cli(ctx: click.Context, db: str | None) -> None:
    """See your traces where they were made, and whether they have arrived."""
    ctx.obj = db


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. `args` None means `sys.argv`."""
    standard_output.make_sure_of()
    _tolerate_narrow_encodings()
    if args is None:  # the process is the command's alone
        gc.set_threshold(*THRESHOLDS)
    try:
        result = cli.main(args, prog_name="hush-otel", standalone_mode=False)
        sys.stdout.flush()
    except HushError as exc:
        return _fail(str(exc))
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except (_NobodyReadsError, BrokenPipeError):
        standard_output.silence()
        return EXIT_CLOSED_PIPE
    except OSError as exc:
        return _fail(_why(exc))
    return result if isinstance(result, int) else 0


def _fail(message: str) -> int:
    # One line, whatever the message quotes: it may hold text from the database or a receiver.
    click.echo(f"error: {clean(message, limit=2000)}", err=True)
    return EXIT_ERROR


def _why(error: OSError) -> str:
    if error.filename is not None:
        return f"cannot use {error.filename}: {error.strerror} (`hush-otel doctor` says what mends it)"
    if error.errno not in CANNOT_WRITE:
        raise error
    return standard_output.why(error)


def _tolerate_narrow_encodings() -> None:
    """A terminal that is not UTF-8 shows '?' for what it lacks, instead of failing the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
