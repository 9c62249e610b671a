"""Errors a user can cause, each with the exit status that the command line gives it."""

from __future__ import annotations


class NeuroplastError(Exception):
    """Base of every error that a user can cause; the message says what to do about it."""

    exit_code = 2


class InputError(NeuroplastError, ValueError):
    """A value, file or object given by the user cannot be used."""


class Resized(InputError):
    """A run cannot be resumed, since its models are made for other sizes than when it began."""


class BuildError(NeuroplastError, RuntimeError):
    """The generated C++ could not be compiled or linked; ends with the compiler's last lines."""


class DivergedError(NeuroplastError, ArithmeticError):
    """A state variable became NaN or infinite during a run.

    Attributes
    ----------
    variable : str
        ``object.variable`` that left the finite numbers first.
    index : int
        Flat index of the element within the variable.
    where : dict of str to int
        The schedule's integers (``trial``, ``k``, ``tick``, ...) when it was noticed.
    partial : object or None
        What the run had recorded until then.
    """

    exit_code = 3

    def __init__(self, message, variable="", index=-1, where=None, partial=None):
        super().__init__(message)
        self.variable = variable
        self.index = index
        self.where = where or {}
        self.partial = partial
