//! Tables of results, and their files in Parquet and CSV.
