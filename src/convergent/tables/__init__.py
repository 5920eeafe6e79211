"""Tables of a study: their columns, files, questions in SQL, and comparisons."""
