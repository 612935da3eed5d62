"""What can produce a trace. Each module imports its framework only when it is used."""
