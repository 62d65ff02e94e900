import warnings
from importlib import import_module

import pytest

from imrec_core.runtime import moved


@pytest.mark.parametrize("old", moved.MODULES)
def test_import_path_of_0_1_gives_the_same_objects_with_a_warning(old):
    module = import_module(f"imrec_core.{old}")
    home = import_module(f"imrec_core.{moved.MODULES[old][0]}")
    names = [name for name, found in vars(home).items() if getattr(found, "__module__", None) == home.__name__]
    names = names or list(home.__all__)
    with pytest.warns(DeprecationWarning, match=rf"imrec_core\.{old}\.{names[0]} is deprecated; use imrec_core\."):
        assert getattr(module, names[0]) is getattr(home, names[0])


@pytest.mark.parametrize("old", moved.NAMES)
def test_name_of_0_1_gives_what_replaced_it(old):
    module, _, name = old.rpartition(".")
    with pytest.warns(DeprecationWarning, match=f"{moved.NAMES[old]}$"):
        assert getattr(import_module(f"imrec_core.{module}"), name).__name__ == moved.NAMES[old]


def test_features_knows_the_name_of_0_1():
    from imrec_core import features

    with pytest.warns(DeprecationWarning, match="use Fitter"):
        assert features.Learnt is features.Fitter


def test_unknown_names_and_modules_are_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'prepared'"):
        _ = import_module("imrec_core.demo").prepared
    with pytest.raises(ModuleNotFoundError):
        import_module("imrec_core.dem")


def test_looking_for_what_python_asks_of_every_module_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not hasattr(import_module("imrec_core.demo"), "__all__")
