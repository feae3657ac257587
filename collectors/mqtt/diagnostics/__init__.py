"""Test the guarantees of a broker, for the doctor."""
