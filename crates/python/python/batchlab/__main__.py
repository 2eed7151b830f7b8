"""The command line: `batchlab`, or `python -m batchlab`."""

import signal
import sys

from . import _batchlab


def main() -> int:
    # Ctrl-C is the program's own business, and ends it where it does not care.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _batchlab.main([sys.executable, "-m", "batchlab"], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
