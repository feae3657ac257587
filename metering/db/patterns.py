"""Turn the words of a search into parameters of SQL."""


def containing(words: str) -> str:
    """Return the pattern for LIKE of texts that contain `words`, signs of patterns escaped."""
    escaped = words.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def identifier(words: str) -> int:
    """Return `words` as an id; 0, which no row has, if they are none."""
    digits = words.strip()
    number = int(digits) if digits.isascii() and digits.isdigit() else 0
    return number if number < 2**63 else 0
