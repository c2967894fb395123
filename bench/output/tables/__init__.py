"""Tables of figures, a module for each subject; `catalog` knows all of them by name."""
