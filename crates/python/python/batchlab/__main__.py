"""The command line: `batchlab`, or `python -m batchlab`."""

import sys

from . import _batchlab


def main() -> int:
    return _batchlab.main([sys.executable, "-m", "batchlab"], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
