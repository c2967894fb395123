"""The coordinator: finds interpreters, starts workers, gives them turns, keeps their records. No framework."""
