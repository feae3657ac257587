"""What a person types into a search, as parameters of SQL."""


def containing(words: str) -> str:
    """Return the pattern for LIKE of texts that contain `words`, whose percent signs are percent signs."""
    escaped = words.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def identifier(words: str) -> int:
    """Return the id that `words` are, 0 if they are none: no row has it."""
    digits = words.strip()
    number = int(digits) if digits.isascii() and digits.isdigit() else 0
    return number if number < 2**63 else 0
