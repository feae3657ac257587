"""Read every setting from the environment, and refuse wrong ones with a sentence."""
