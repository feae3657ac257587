"""Verify exported files without a database: `python -m metering.offline FILE...` (docs/proof.md)."""

import sys

from metering.proof.offline import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
