"""Break connections and processes at random, and compare published with counted."""
