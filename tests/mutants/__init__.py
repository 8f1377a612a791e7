"""`make mutants`: each guard is removed once, and the suite has to notice."""
