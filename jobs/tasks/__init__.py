"""Do the work of each job, one file a job."""
