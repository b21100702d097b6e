"""Ctrl-C at a place of our choosing."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def deferred() -> Iterator[threading.Event]:
    """The first Ctrl-C only sets the event; the second interrupts at once.

    An exception in the middle of a step would lose a state whose memory was donated.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested  # signals go to the main thread
        return

    def handle(number, frame):
        del number, frame
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield requested
    finally:
        signal.signal(signal.SIGINT, previous)
