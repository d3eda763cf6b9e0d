"""Pure Spark code: DataFrame or Column in, DataFrame or Column out. No reads, writes, actions or clock."""
