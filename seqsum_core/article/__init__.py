"""The article's runs of 2017, and their replay with Keras 3."""
