"""Names that a pattern stands for: any text with `*` in it, as rights have them. Pure, and without going back."""


def matches(pattern: str, text: str) -> bool:
    """Whether `text` is what `pattern` stands for: `*` is any characters, also none; all others are themselves."""
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    start, end = len(first), len(text) - len(last)
    for piece in middle:  # the leftmost place for each leaves most for those behind it
        found = text.find(piece, start, end)
        if found < 0:
            return False
        start = found + len(piece)
    return True
