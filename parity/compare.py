"""`python -m parity.compare`: a model beside its reference."""

import sys

from parity.commands.compare import main

if __name__ == "__main__":
    sys.exit(main())
