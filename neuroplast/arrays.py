"""Results by name: the arrays of one kind with plain dimensions, and errors that list what there is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from neuroplast.errors import InputError

if TYPE_CHECKING:  # it is imported where it is used: that takes a third of a second
    import xarray as xr


class Arrays(Mapping):
    """Arrays of one kind, read-only: ``traces.rates["units.h"]``.

    A population's name is enough where only one of its variables was recorded. Plain names are attributes, too:
    ``traces.metrics.loss``. Dimensions are called trial, time, neuron, pre, post; those of combined nets come first.

    Attributes
    ----------
    kind : str
    dataset : xarray.Dataset
        The same arrays together, with the dimensions that they have in the file.
    """

    def __init__(self, kind: str, whole: xr.Dataset, elsewhere: Callable[[str, str], list[str]] = lambda *_: []):
        names = [name for name, array in whole.data_vars.items() if array.attrs.get("kind") == kind]
        self.kind, self.dataset = kind, whole[names]
        self._elsewhere = elsewhere

    def __getitem__(self, name):
        name = self._full_name(name)
        return plain(self.dataset[name], name)

    def __iter__(self) -> Iterator[str]:
        return iter(map(str, self.dataset.data_vars))

    def __len__(self):
        return len(self.dataset.data_vars)

    def __contains__(self, name):
        return name in self.dataset.data_vars

    def __getattr__(self, name):
        if name.startswith("_") or name in ("dataset", "kind"):
            raise AttributeError(name)
        try:
            return self[name]
        except InputError as err:
            raise AttributeError(str(err)) from None

    def __dir__(self):
        return [*super().__dir__(), *(name for name in self if name.isidentifier())]

    def __repr__(self):
        lines = [f"  {name} {dict(self[name].sizes)}" for name in self]
        return "\n".join([f"<{self.kind}: {len(self)}>", *lines])

    def _full_name(self, name):
        if name in self.dataset.data_vars:
            return name
        of_group = [other for other in self if other.startswith(f"{name}.")]
        if len(of_group) == 1:
            return of_group[0]
        if of_group:
            raise InputError(f"{self.kind}: {name!r} has several: {', '.join(of_group)}. Give one of these names.")
        nets = self._elsewhere(self.kind, name)
        there = f"There are: {', '.join(self)}" if len(self) else f"This run recorded no {self.kind}"
        close = difflib.get_close_matches(str(name), self, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        where = f" {_some(nets)} recorded it: traces.nets[{nets[0]!r}].{self.kind}[{name!r}]." if nets else ""
        raise InputError(f"{self.kind}: no array is called {name!r}. {there}.{hint}{where}")


class Spikes(Arrays):
    """Spikes by population: datasets along ``spike`` of ``time`` (s), ``neuron`` and ``trial``.

    Their attributes say how many neurons there are, what the spikes were sampled from, and how.
    """

    def __getitem__(self, name):
        array = super().__getitem__(name)
        attrs = {key: value for key, value in array.attrs.items() if key not in ("kind", "aside")}
        neurons = array.rename("neuron")
        neurons.attrs = {}
        coordinates = [name for name in array.coords if name not in array.dims]
        return neurons.to_dataset().reset_coords(coordinates).assign_attrs(attrs)


def plain(array: xr.DataArray, name: str) -> xr.DataArray:
    """An array with dimensions and coordinates that no longer begin with its name."""
    prefix = f"{name}_"
    prefixed = [str(key) for key in (*array.dims, *array.coords) if str(key).startswith(prefix)]
    names = {key: key.removeprefix(prefix) for key in prefixed}
    taken = [new for new in names.values() if new in array.dims or new in array.coords]
    return array.rename({key: new for key, new in names.items() if new not in taken})


def _some(nets):
    listed = ", ".join(nets[:3])
    return f"The net {listed}" if len(nets) == 1 else f"{len(nets)} nets ({listed}{', ...' if len(nets) > 3 else ''})"
