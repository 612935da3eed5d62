"""The one kind of failure that is the caller's to fix."""


class RequestError(ValueError):
    """What was asked for can't be done; the message is one line and says what to do instead.

    Commands print the message on stderr and exit with status 2.
    """
