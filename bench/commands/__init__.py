"""The commands of `seqsum`: each parses, calls one function, prints. `bench.cli` puts them together."""
