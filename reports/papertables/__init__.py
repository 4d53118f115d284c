"""The report's seven tables in their own layouts, and tables of one's own: printed models, and runs beside them."""
