"""Run the command line: `python -m fleetmeter.cli`."""

from fleetmeter.cli.main import main

main()
