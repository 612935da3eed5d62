"""What a caller did wrong."""


class UsageError(ValueError):
    """A request that can't be met: one line that names what was expected, what came and the fix."""
