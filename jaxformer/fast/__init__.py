"""What is done for speed alone: how weights are laid out and multiplied, attention in pieces,
prefill, and how they are compiled and tuned."""
