"""End spans while the handlers of two timers end spans in the midst of it, on the same thread.

signals.py COUNT INTERVAL_S
"""

from __future__ import annotations

import signal
import sys

from common import end_spans, say, tracer

count, interval_s = int(sys.argv[1]), float(sys.argv[2])
t = tracer()
timers = {signal.SIGALRM: signal.ITIMER_REAL, signal.SIGVTALRM: signal.ITIMER_VIRTUAL}
handled = dict.fromkeys(timers, 0)


def on_timer(number: int, _frame: object) -> None:
    """End one more span, whatever the main program, or the other handler, is in the midst of."""
    end_spans(t, f"handler{number}", 1, handled[number])
    handled[number] += 1
    # Only now: on a slow machine a handler would else be interrupted by its own timer without end.
    signal.setitimer(timers[number], interval_s)


for number, timer in timers.items():
    signal.signal(number, on_timer)
    signal.setitimer(timer, interval_s)
end_spans(t, "main", count)
for number, timer in timers.items():
    signal.signal(number, signal.SIG_IGN)
    signal.setitimer(timer, 0)
say({str(int(number)): times for number, times in handled.items()})
