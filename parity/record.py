"""`python -m parity.record`: the trace of one run, in a folder."""

import sys

from parity.commands.record import main

if __name__ == "__main__":
    sys.exit(main())
