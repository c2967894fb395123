"""Pictures for papers, a module for each subject; `catalog` knows all of them by name."""
