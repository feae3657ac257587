"""Define the meters, and read periods, projects and their history."""
