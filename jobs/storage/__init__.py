"""The only code that reads or writes tables and files, and that makes Spark sessions."""
