"""mrigan: prepare real MRI, train generative networks on it, look at what they make.

    import mri_gan as mg

Everything in `__all__` keeps its meaning between minor versions; what is to go warns for one minor
version before. All else may change. Names are imported when they are first used, so that
`import mri_gan` needs neither torch nor numpy.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mri_gan.config import Stage as Stage
    from mri_gan.config import TrainConfig as TrainConfig
    from mri_gan.errors import DataError as DataError
    from mri_gan.errors import MriganError as MriganError
    from mri_gan.errors import Stopped as Stopped
    from mri_gan.errors import UsageError as UsageError
    from mri_gan.evaluate.audit import Audit as Audit
    from mri_gan.evaluate.evaluation import Evaluation as Evaluation
    from mri_gan.ingest.options import PrepareConfig as PrepareConfig
    from mri_gan.library.drawing import Model as Model
    from mri_gan.library.drawing import load_model as load_model
    from mri_gan.library.preparing import Prepared as Prepared
    from mri_gan.library.preparing import open_store as open_store
    from mri_gan.library.preparing import prepare as prepare
    from mri_gan.library.quality import audit as audit
    from mri_gan.library.quality import evaluate as evaluate
    from mri_gan.library.scans import Volume as Volume
    from mri_gan.library.scans import volumes as volumes
    from mri_gan.library.slice_dataset import SliceDataset as SliceDataset
    from mri_gan.library.training import Callback as Callback
    from mri_gan.library.training import TrainedRun as TrainedRun
    from mri_gan.library.training import train as train
    from mri_gan.store.reader import StoreReader as StoreReader
    from mri_gan.train.run_folder import Progress as Progress

__version__ = "0.1.0"

# Threads of torch's OpenMP wait for each other in a busy loop. On a machine that does anything
# else that made training and judging several times slower; a short loop costs next to nothing when
# idle. It is read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_PUBLIC = {
    "config": ("Stage", "TrainConfig"),
    "errors": ("DataError", "MriganError", "Stopped", "UsageError"),
    "evaluate.audit": ("Audit",),
    "evaluate.evaluation": ("Evaluation",),
    "ingest.options": ("PrepareConfig",),
    "library.drawing": ("Model", "load_model"),
    "library.preparing": ("Prepared", "open_store", "prepare"),
    "library.quality": ("audit", "evaluate"),
    "library.scans": ("Volume", "volumes"),
    "library.slice_dataset": ("SliceDataset",),
    "library.training": ("Callback", "TrainedRun", "train"),
    "store.reader": ("StoreReader",),
    "train.run_folder": ("Progress",),
}
_HOMES = {name: home for home, names in _PUBLIC.items() for name in names}
__all__ = ["__version__", *sorted(_HOMES)]


def _load(name: str) -> Any:
    """A public name from its home; raises UsageError where a package of an extra is missing."""
    try:
        return getattr(importlib.import_module(f"mri_gan.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        from mri_gan.errors import explain_missing

        raise explain_missing(error) or error from error


if not TYPE_CHECKING:  # with it, any name would pass

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'mri_gan' has no attribute {name!r}")
        value = _load(name)
        # Importing the home of `train` sets the room of that name, which can be called, too.
        return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Room(ModuleType):
    """A room that shares its name with a function, as `mri_gan.train` does: it can be called."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._function(*arguments, **options)

    @property
    def _function(self) -> Any:
        return _load(self.__name__.rpartition(".")[2])

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        """What `help` says of the room, and of the function."""
        room, function = self.__dict__["__doc__"], self._function
        return f"{room}\n\n{function.__name__}{self.__signature__}\n\n{function.__doc__}"

    @property
    def __signature__(self) -> Any:
        import inspect  # takes long to load, and few ask

        return inspect.signature(self._function)

    def __reduce__(self) -> Any:
        return importlib.import_module, (self.__name__,)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOMES and type(value) is ModuleType:
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
