"""SQL over a lake with DuckDB: views of its tables, row filters, and the policy for SQL from clients."""
