"""Do the work of jobs, one file a job."""
