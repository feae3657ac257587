"""`python -m benchmarks [name …]`: each module here with a `main` is a benchmark; all without a name."""

import importlib
import pkgutil
import sys

import benchmarks


def names() -> list[str]:
    """Every benchmark: the modules that do not begin with an underscore."""
    modules = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in modules if not name.startswith("_"))


def main(chosen_names: list[str]) -> int:
    """Run the benchmarks that are named, or all of them; return the exit code."""
    unknown = set(chosen_names) - set(names())
    if unknown:
        print(f"there is no benchmark {', '.join(sorted(unknown))}; take {', '.join(names())}")
        return 2
    for name in chosen_names or names():
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
