"""Write and read the files of exports: columns, CSV, Parquet, hashes."""
