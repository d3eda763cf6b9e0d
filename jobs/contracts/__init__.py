"""What data must look like: extract contracts, tables we write, and the items of the customer view."""
