"""The parameters of a stack as one vector."""

import torch

from skdropout import DropoutMLPClassifier
from skdropout._training.parameters import FlatParameters
from tests.reference import quick


def test_the_parameters_are_views_of_one_vector(two_classes):
    X, y = two_classes
    stack = quick(DropoutMLPClassifier, normalization="layer").fit(X, y).net_.module_
    before = [values.detach().clone() for values in stack.parameters()]
    flat = FlatParameters(stack)
    assert all(torch.equal(*pair) for pair in zip(before, stack.parameters(), strict=True))
    with torch.no_grad():
        flat.values += 1
    flat.gradient.fill_(7)
    for values, old in zip(stack.parameters(), before, strict=True):
        assert torch.equal(values.detach(), old + 1)
        assert (values.grad == 7).all()
    weights = torch.cat([linear.weight.detach().flatten() for linear in stack.linears])
    assert torch.equal(flat.penalized, weights)
