"""The error of a file that does not hold what it should."""

from neuroplast.errors import InputError


class Unusable(InputError):
    """A file of a data set is damaged, or holds something else; `neuroplast.data.load` adds how to get a good one."""
