"""What a run leaves: taps, the recorder, frames and their manifest, in memory and on disk."""
