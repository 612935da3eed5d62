"""`python -m parity.explain`: the statement at which a model departs from its reference."""

import sys

from parity.commands.explain import main

if __name__ == "__main__":
    sys.exit(main())
