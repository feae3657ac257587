"""Read plans and compute charges from usage: pure functions on Decimal."""
