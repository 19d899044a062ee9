import pytest
import torch

from skdropout.families import PlainProduct


def _parameters(n_members, n_out):
    generator = torch.Generator().manual_seed(0)
    shapes = [(n_members, 4, n_out), (n_members, 1, n_out)]
    parameters = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 7.0)
    return parameters, torch.randn(n_members, 6, 4, generator=generator)


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("n_out", [1, 2, 10, 11, 30])
@pytest.mark.parametrize("rows_of_memory", [None, 6, 5])
def test_the_product_and_its_gradients_are_autograds(n_members, n_out, rows_of_memory):
    (weight, bias), x = _parameters(n_members, n_out)
    x.requires_grad_()
    expected = x @ weight + bias
    above = torch.linspace(-1, 1, expected.numel()).view_as(expected)
    wanted = torch.autograd.grad(expected, [x, weight, bias], above)

    product = PlainProduct(weight, bias)
    if rows_of_memory is not None:
        product.outputs = torch.empty(*product.weight.shape[:-2], rows_of_memory, n_out)
        product.gradient = torch.empty(*product.weight.shape[:-2], rows_of_memory, 4)
    own, own_above = product.own_axes(x.detach()), product.own_axes(above)
    with torch.no_grad():
        out = product.forward(own)
        product.set_gradients(own, own_above)
        on_x = product.gradient_of_inputs(own_above)
    torch.testing.assert_close(out.view_as(expected), expected.detach())
    for ours, theirs in zip((on_x, weight.grad, bias.grad), wanted, strict=True):
        torch.testing.assert_close(ours.view_as(theirs), theirs)


def test_every_parameter_needs_a_gradient():
    (weight, bias), _ = _parameters(1, 2)
    bias.grad = None
    with pytest.raises(AssertionError, match="every parameter has a gradient"):
        PlainProduct(weight, bias)
