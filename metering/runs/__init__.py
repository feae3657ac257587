"""What a job run is and does: definitions, requests, lease, execution, dry run, and the bodies."""
