"""Stands in for SGLang's kernels, of which no build for processors is in the package index.

SGLang imports their names when it starts. On a processor without AMX it computes a model of the Llama family by PyTorch alone and calls none of
them; a call of one raises, so that nothing is computed wrongly.
"""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__path__: list[str] = []
__version__ = "0.4.10"


class _Missing:
    """A kernel, or a member of one: it has any name, and raises when it is called."""

    def __init__(self, name: str):
        self.__name__ = name

    def __call__(self, *_args, **_kwargs):
        raise NotImplementedError(f"{self.__name__} has no build for processors")

    def __getattr__(self, name: str):
        return _named(self.__name__, name)


def _named(module: str, name: str) -> _Missing:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Missing(f"{module}.{name}")


class _Modules(MetaPathFinder, Loader):
    """Every module below this one is there, and holds whatever is imported from it."""

    def find_spec(self, fullname, _path, _target=None):
        return ModuleSpec(fullname, self, is_package=True) if fullname.startswith(f"{__name__}.") else None

    def create_module(self, spec):
        module = ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = lambda name: _named(spec.name, name)
        return module

    def exec_module(self, _module):
        pass


sys.meta_path.append(_Modules())


def __getattr__(name: str) -> _Missing:
    return _named(__name__, name)
