"""The one error a user is shown: a line with the rule, what was received and the remedy."""


class UserError(Exception):
    """A command line, file or installation is wrong. The command prints it and exits with 2."""
