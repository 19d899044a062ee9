import torch

from skdropout._support.scratch import Scratch


def test_a_use_has_its_memory_again():
    scratch, like = Scratch(), torch.zeros(2, dtype=torch.float64)
    first = scratch("a", like, 3, 4).fill_(1.0)
    assert first.dtype == like.dtype
    assert first.shape == (3, 4)
    other = scratch("b", like, 3, 4).fill_(2.0)
    assert (first == 1.0).all()
    assert scratch("a", like, 2, 2).data_ptr() == first.data_ptr()
    assert scratch("a", like, 3, 5).shape == (3, 5)
    assert (other == 2.0).all()


def test_it_is_laid_out_as_a_fresh_tensor_is():
    scratch, like = Scratch(), torch.zeros(2)
    for shape in ((5, 4, 3), (5, 2, 3), (1,), (5, 4, 3)):
        assert scratch("a", like, *shape).is_contiguous()
