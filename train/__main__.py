"""`python -m train`; without arguments it prints its help."""

import os
import sys

from train.cli import INTERRUPTED, main

if __name__ == "__main__":
    code = main(sys.argv[1:])
    if code == INTERRUPTED:
        # Threads inside XLA cannot be stopped, and Python would wait for them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
