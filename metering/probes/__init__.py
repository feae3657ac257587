"""Answer machines that ask about a process: is it alive, is it ready, what are its figures."""
