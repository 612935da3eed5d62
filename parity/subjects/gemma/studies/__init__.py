"""Case studies: `python -m parity.studies epsilon|einsum` writes what `reports/` keeps of each."""
