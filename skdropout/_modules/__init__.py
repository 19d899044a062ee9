"""Fixed functions of any torch module: its dropouts are found, and drawn once for all rows."""
