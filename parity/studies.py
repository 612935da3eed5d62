"""`python -m parity.studies`: the case studies."""

import sys

from parity.subjects.gemma.studies.command import main

if __name__ == "__main__":
    sys.exit(main())
