"""Entry of the background process: `python -I …/background/__main__.py --db PATH`.

Run in isolated mode by background/client.py. Detaches by one fork, so that the app has no child
left, takes the lock before it imports anything large (of many starters all but one leave at once),
then works.
"""

from __future__ import annotations

# Until it has detached it is a child of the app's: it imports only what the interpreter has already.
import os
import sys
import time


def _complete_import_path() -> None:
    """Isolated mode knows the interpreter's own packages only. Ours come last: they hijack nothing."""
    here = os.path.realpath(__file__).rsplit(os.sep, 3)[0]
    paths = [here, *(p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p.startswith(os.sep))]
    sys.path.extend(path for path in paths if path not in sys.path)


def _let_go_of_the_app() -> None:
    """Hold none of its descriptors, its directory, its session; be nobody's child."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    if os.fork():
        os._exit(0)  # the intermediate: the app reaps it by its pid
    os.setsid()


def _raise_limits() -> None:
    """What an app may be limited to does not bind its database, nor how many destinations it has."""
    import resource  # noqa: PLC0415

    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
        try:
            hard = resource.getrlimit(limit)[1]
            resource.setrlimit(limit, (hard, hard))
        except (OSError, ValueError):
            pass  # macOS has one for all processes besides: what the app may is enough as well


def main(db_path: str, *, successor: bool) -> int:
    """Own the database until there is nothing left to do. Returns the exit code."""
    _let_go_of_the_app()
    _raise_limits()
    _complete_import_path()
    from hush_otel.background.client import HANDOVER_S  # noqa: PLC0415 - the import path had to be completed
    from hush_otel.config import Settings  # noqa: PLC0415
    from hush_otel.spool.directory import SpoolDirectory  # noqa: PLC0415
    from hush_otel.spool.locks import lock_file  # noqa: PLC0415

    settings = Settings.load(db_path)
    directory = SpoolDirectory(settings.spool_dir)
    directory.create()
    lock = lock_file(directory.lock)
    deadline = time.monotonic() + (HANDOVER_S if successor else 0.0)
    while not lock.try_lock():
        if time.monotonic() >= deadline:
            return 0
        time.sleep(0.05)
    from hush_otel.background.logfile import log_to_file  # noqa: PLC0415

    log = log_to_file(directory)
    try:
        from hush_otel.background import detached  # noqa: PLC0415 - only the winner pays for it

        return detached.run(settings)
    except Exception:
        log.exception("the background process ends")
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--db") + 1], successor="--successor" in sys.argv))
