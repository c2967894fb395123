"""What a run leaves behind: raw records, where they are kept, and the tidy frames they are read as."""
