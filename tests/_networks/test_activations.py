import pytest
import torch

from skdropout._networks.activations import ACTIVATIONS


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward_of_an_activation_is_its_derivative(name):
    activation = ACTIVATIONS[name]
    x = torch.linspace(-3, 3, 40, dtype=torch.float64, requires_grad=True)
    y = activation.function(x)
    above = torch.linspace(1, 2, 40, dtype=torch.float64)
    (expected,) = torch.autograd.grad(y, x, above)
    torch.testing.assert_close(activation.backward(above, y.detach()), expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_in_place_is_the_same_function(name):
    x = torch.linspace(-3, 3, 40)
    expected = ACTIVATIONS[name].function(x.clone())
    assert torch.equal(ACTIVATIONS[name].in_place(x), expected)
    assert torch.equal(x, expected)
