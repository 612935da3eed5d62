"""`python -m parity.bench`: what parity costs."""

import sys

from parity.commands.bench import main

if __name__ == "__main__":
    sys.exit(main())
