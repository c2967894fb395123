"""What will be measured: cells, settings, sweeps and the files they are read from. Pure."""
