"""The newest revision of the schema that this code works with.

A constant, so that a process finds it without the migrations. A test holds it equal to the newest
file in migrations/versions/; a new revision changes it.
"""

HEAD = "tierdays001a"
