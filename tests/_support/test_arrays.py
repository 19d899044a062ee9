import copy
import pickle

import joblib
import numpy as np
import pytest
import torch

from skdropout._support.arrays import PickledAsArrays, as_array, as_tensor
from skdropout._training.rows import Rows
from skdropout.families import NoiseSource

CPU = torch.device("cpu")


class _Module(PickledAsArrays):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
        self.child = torch.nn.ModuleList([_Leaf()])
        self.register_buffer("none", None)


class _Leaf(PickledAsArrays):
    def __init__(self):
        super().__init__()
        self.register_buffer("scalar", torch.tensor(3, dtype=torch.int16), persistent=False)


def test_a_pickled_module_is_the_same():
    module = _Module()
    other = pickle.loads(pickle.dumps(module))
    assert type(other.weight) is torch.nn.Parameter
    assert other.weight.requires_grad
    torch.testing.assert_close(other.weight, module.weight, rtol=0, atol=0)
    leaf = other.child[0]
    torch.testing.assert_close(leaf.scalar, module.child[0].scalar, rtol=0, atol=0)
    assert other.none is None
    assert other.state_dict().keys() == module.state_dict().keys()
    assert vars(other).keys() == vars(module).keys()


def test_pickling_changes_nothing_and_a_copy_can_be_trained():
    module = _Module()
    weight = module.weight
    other = copy.deepcopy(module)
    assert module.weight is weight
    with torch.no_grad():
        other.weight.add_(1.0)
    assert (module.weight == torch.arange(6.0).view(2, 3)).all()


def test_a_copy_stays_on_its_device():
    """The meta device stands for an accelerator: what goes by way of arrays leaves it too."""
    other = copy.deepcopy(_Module().to("meta"))
    assert other.weight.is_meta
    assert other.child[0].scalar.is_meta
    assert type(other.weight) is torch.nn.Parameter


def test_a_shallow_copy_shares_its_tensors():
    module = _Module()
    assert copy.copy(module).weight is module.weight


def test_an_array_that_cannot_be_written_to_is_copied(tmp_path):
    values = np.arange(4.0)
    values.flags.writeable = False
    tensor = as_tensor(values)
    tensor.add_(1.0)
    np.testing.assert_array_equal(values, np.arange(4.0))
    # joblib maps arrays of a dumped module into memory, where they are read only.
    joblib.dump(_Module(), tmp_path / "module.joblib")
    mapped = joblib.load(tmp_path / "module.joblib", mmap_mode="r")
    torch.testing.assert_close(mapped.weight, _Module().weight, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_there_and_back(shape):
    values = torch.ones(shape)
    assert as_tensor(as_array(values)).shape == shape
    assert np.shares_memory(as_array(values), as_array(as_tensor(as_array(values))))


def test_pickled_rows_are_arrays():
    x = torch.arange(12.0).view(6, 2)
    rows = Rows(x, torch.arange(6), None, torch.tensor([[0, 1], [4, 5]]))
    other = pickle.loads(pickle.dumps(rows))
    assert other.same_as(rows)
    assert other.weight is None
    assert torch.equal(other.owned, rows.owned)
    # What joblib maps into the memory of its workers are arrays.
    assert all(v is None or isinstance(v, np.ndarray) for v in rows.__getstate__().values())


def test_pickled_streams_go_on_where_they_were():
    source = NoiseSource([3, 3, 5], CPU)
    source.normal(4)
    other = pickle.loads(pickle.dumps(source))
    torch.testing.assert_close(other.normal(4), source.normal(4), rtol=0, atol=0)
