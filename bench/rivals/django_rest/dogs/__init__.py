"""Users and dogs."""
