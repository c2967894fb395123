"""The one error a user is shown: a line with the rule, what was received and the remedy. And one that is no failure."""


class UserError(Exception):
    """A command line, file or installation is wrong. The command prints it and exits with 2."""


class NotAvailableError(ValueError):
    """A backend does not offer a variant of a cell; what it says is the reason."""
