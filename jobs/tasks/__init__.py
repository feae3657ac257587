"""Do the work of each job that is more than one call, one file a job."""
