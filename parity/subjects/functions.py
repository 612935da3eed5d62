"""Stub."""


class FunctionSubject: ...


def names_a_function(word: str) -> bool:
    return ":" in word
