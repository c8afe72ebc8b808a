"""`make pictures`: the pictures of the page in docs/images, by day and by night, over its tests' samples.

Needs Chromium; with `pngquant` they are a third as large. Look at them before you commit them.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
IMAGES: Final = ROOT / "docs/images"
sys.path[:0] = [str(ROOT / "tests/web"), str(ROOT / "tests")]

import browsing  # noqa: E402
import samples  # noqa: E402
from browsing import Site, Visitor  # noqa: E402
from processes import stop_background  # noqa: E402

from hush_otel import Destination  # noqa: E402
from hush_otel.testing import OtlpReceiver  # noqa: E402

REQUESTS: Final = 600
SIZE: Final = {"width": 1280, "height": 720}
TALL: Final = {"width": 1280, "height": 860}
SCALE: Final = 1.5

# In a week of use each would have been stored when it began.
_AS_THEY_CAME: Final = """
UPDATE hush_requests
SET created_at = (SELECT min(start_ns) / 1e9 FROM hush_spans WHERE request = hush_requests.id)
"""


def record(database: Path, jaeger: Destination) -> None:
    """A week's requests, and four of the last minute."""
    with samples.tracing(database, jaeger) as tracer:
        samples.history(tracer, REQUESTS)
    stop_background(database)
    with sqlite3.connect(database) as connection:
        connection.execute(_AS_THEY_CAME)
    connection.close()
    samples.loop(database, "digest-2041", 12)
    now_ns = time.time_ns()
    with samples.tracing(database, jaeger) as tracer:
        samples.support(tracer, "support-8841", now_ns - 20 * samples.SECOND_NS)
        samples.support(tracer, "support-8842", now_ns - 12 * samples.SECOND_NS, scale=1.6)
        samples.support(tracer, "support-8843", now_ns - 4 * samples.SECOND_NS, failing=True)


def _list(visitor: Visitor) -> None:
    visitor.open("/", ".requests .row")


def _request(visitor: Visitor) -> None:
    visitor.open("/requests/support-8843", ".waterfall .row")
    visitor.page.locator(".waterfall .row", has_text="gpt-4o-mini").click()
    visitor.page.wait_for_selector(".message.output")


def _stats(visitor: Visitor) -> None:
    visitor.page.set_viewport_size(TALL)  # type: ignore[arg-type]
    visitor.open("/stats", ".chart circle")


PICTURES: Final[dict[str, Callable[[Visitor], None]]] = {"list": _list, "request": _request, "stats": _stats}


def take(site: Site) -> None:
    """All of them, each in both themes."""
    with browsing.browser() as chromium, browsing.visiting(chromium, site, scale=SCALE) as visitor:
        for name, show in PICTURES.items():
            visitor.page.set_viewport_size(SIZE)  # type: ignore[arg-type]
            show(visitor)
            visitor.page.wait_for_selector(".health span")
            for theme in ("light", "dark"):
                with visitor.lit(theme):
                    visitor.page.screenshot(path=IMAGES / f"{name}-{theme}.png", animations="disabled")


def main() -> None:
    """Record, take, make smaller."""
    with tempfile.TemporaryDirectory() as directory, OtlpReceiver() as receiver:
        database = Path(directory) / "traces.db"
        try:
            record(database, Destination("otlp", name="jaeger", endpoint=receiver.endpoint))
            with browsing.serving_page(database) as site:
                take(site)
        finally:
            stop_background(database)
    if shutil.which("pngquant"):
        made = [str(IMAGES / f"{name}-{theme}.png") for name in PICTURES for theme in ("light", "dark")]
        subprocess.run(["pngquant", "--force", "--ext", ".png", *made], check=True)


if __name__ == "__main__":
    main()
