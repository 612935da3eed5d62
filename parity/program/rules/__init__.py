"""What each operation does to the errors of its inputs, one file per kind of operation."""
