"""The same training written directly in a framework: what Keras could reach there. Imported by workers only."""
