"""What the records say: figures, intervals and comparisons, all derived on reading. Imports no framework."""
