"""Inference by moments: exact where it says so, near to very many draws elsewhere."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import ndtri
from scipy.stats import qmc
from sklearn.datasets import make_classification

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._inference.draws import evaluate
from skdropout._inference.moments.outputs import (
    GaussianOutputs,
    as_points,
    closest_decision,
    set_root,
    standard_points,
)
from skdropout._inference.moments.propagation import propagate
from skdropout._networks.architecture import Architecture, Member
from skdropout._networks.stack import Stack
from skdropout._predictive.uncertainty import entropy_uncertainty, probability_uncertainty
from skdropout.families import FAMILIES, Bernoulli, Family
from tests.randomness import assert_mean, assert_variance
from tests.reference import ESTIMATORS, quick, sigmoid, softmax, target

ROWS = np.random.default_rng(3).standard_normal((6, 5))


def _stack(family, widths, rates, activation="relu", normalization=None, n_members=1):
    members = [Member(7 + index, family, rates) for index in range(n_members)]
    stack = Stack(Architecture(widths, activation, normalization), members)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in stack.norms:
            for name, values in [*layer.named_parameters(), *layer.named_buffers()]:
                noise = torch.rand(values.shape, generator=generator)
                values.copy_(noise + (0.5 if name in ("scale", "variance") else -0.5))
    return stack


def _closed_form(stack, x):
    """Mean ``(members, rows, n_raw)`` and covariance ``(members, rows, n_raw, n_raw)``."""
    with torch.inference_mode():
        chunks = [outputs for _, outputs in propagate(stack.cpu().moments(), torch.as_tensor(x))]
    joined = zip(*chunks, strict=True)
    pairs = [[torch.cat([part[k] for part in member]) for k in (0, 1)] for member in joined]
    return (np.stack([pair[index].numpy() for pair in pairs]) for index in (0, 1))


def _draws(stack, x, n_draws, seed=0):
    """Raw outputs of new draws of the first member: ``(n_draws, rows, n_raw)``, float32."""
    pieces = []
    with torch.inference_mode():
        for piece in range(10):
            plain = stack.cpu().draw(n_draws // 10, [1000 * seed + piece] * len(stack.members))
            raws = evaluate(plain, torch.as_tensor(x, dtype=torch.float32))
            pieces.append(torch.cat([raw[0] for _, raw in raws], 1).numpy())
    return np.concatenate(pieces)


FUNCTIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "identity": lambda z: z,
}


def _over_all_masks(stack, function, rate):
    """Outputs ``(masks, rows, n_raw)`` for each mask of one hidden layer, and its probability."""
    hidden, last = (layer.linear for layer in stack.plain().layers)
    assert all(layer.norm is None for layer in stack.plain().layers)
    h = function(torch.as_tensor(ROWS) @ hidden.weight[0, 0] + hidden.bias[0, 0])
    outputs, shares = [], []
    for mask in itertools.product([0.0, 1.0], repeat=h.shape[1]):
        kept = torch.tensor(mask, dtype=torch.float64)
        outputs.append((h * kept / (1 - rate) @ last.weight[0, 0] + last.bias[0, 0]).numpy())
        shares.append(rate ** (len(kept) - kept.sum()) * (1 - rate) ** kept.sum())
    return np.stack(outputs), np.array(shares)


# ---- one hidden layer is exact -----------------------------------------------------------------


@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_one_hidden_layer_is_the_mean_over_all_masks(normalization, activation):
    rate = round(0.3 * 2**16) / 2**16
    stack = _stack(Bernoulli(), (5, 6, 2), (0.0, rate), activation, normalization).double()
    outputs, shares = _over_all_masks(stack, FUNCTIONS[activation], rate)
    expected = np.einsum("s,snk->nk", shares, outputs)
    centred = outputs - expected
    covariance = np.einsum("s,snk,snl->nkl", shares, centred, centred)
    mean, ours = _closed_form(stack, ROWS)
    np.testing.assert_allclose(mean[0], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ours[0], covariance, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_one_hidden_layer_is_exact_for_every_family(family):
    """Statistical (see `tests.randomness`): a million draws, 3 rows, 2 comparisons each.

    A weight posterior makes the first layer random too. Its sums are Gaussian and independent
    from unit to unit, so that is exact as well.
    """
    stack = _stack(family(), (5, 4, 1), (0.0, 0.3))
    _widen(stack)
    mean, covariance = _closed_form(stack, ROWS[:3])
    draws = _draws(stack, ROWS[:3], 1_000_000)[..., 0].astype(np.float64)
    assert_mean(draws, mean[0, :, 0])
    assert_variance(draws, covariance[0, :, 0, 0])


def _widen(stack):
    """Weight posteriors start nearly without noise; here they have some."""
    with torch.no_grad():
        for linear in stack.linears:
            if hasattr(linear, "log_sigma2") and stack.members[0].family.name != "variational":
                linear.noise.fill_(-3.0)


# ---- deeper networks ---------------------------------------------------------------------------


def test_two_linear_layers_are_the_mean_over_all_masks():
    """A third layer would have inputs that depend on each other."""
    rate, widths = round(0.3 * 2**16) / 2**16, (5, 4, 3, 2)
    stack = _stack(Bernoulli(), widths, (0.0, rate, rate), "identity").double()
    first, *others = (layer.linear for layer in stack.plain().layers)
    h = torch.as_tensor(ROWS) @ first.weight[0, 0] + first.bias[0, 0]
    outputs, shares = [], []
    for mask in itertools.product([0.0, 1.0], repeat=sum(widths[1:-1])):
        kept, values = torch.tensor(mask, dtype=torch.float64), h
        for linear, own in zip(others, kept.split(widths[1:-1]), strict=True):
            values = values * own / (1 - rate) @ linear.weight[0, 0] + linear.bias[0, 0]
        outputs.append(values.numpy())
        shares.append(rate ** (len(kept) - kept.sum()) * (1 - rate) ** kept.sum())
    expected = np.einsum("s,snk->nk", shares, outputs)
    centred = outputs - expected
    covariance = np.einsum("s,snk,snl->nkl", shares, centred, centred)
    mean, ours = _closed_form(stack, ROWS)
    np.testing.assert_allclose(mean[0], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ours[0], covariance, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("size", [1e-6, 1e10, 1e17])
def test_float32_rows_whose_fourth_powers_float32_cannot_hold(size):
    """The outputs of ReLU networks without biases grow with the rows, and so do their moments."""
    stack = _stack(Bernoulli(), (5, 30, 30, 1), (0.0, 0.2, 0.2))
    with torch.no_grad():
        for linear in stack.linears:
            linear.bias.zero_()
    mean, covariance = _closed_form(stack, ROWS)
    large, of_large = _closed_form(stack, (size * ROWS).astype(np.float32))
    np.testing.assert_allclose(large, size * mean, rtol=1e-4)
    np.testing.assert_allclose(of_large, size**2 * covariance, rtol=1e-4)


def _errors(stack, x, n_draws=100_000):
    """Mean relative error of the variance, and of the mean in standard deviations."""
    mean, covariance = _closed_form(stack, x)
    draws = _draws(stack, x, n_draws)[..., 0].astype(np.float64)
    spread = draws.std(0)
    variance = covariance[0, :, 0, 0]
    return (
        np.abs(variance / spread**2 - 1).mean(),
        np.abs((mean[0, :, 0] - draws.mean(0)) / spread).mean(),
    )


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("depth", [2, 3])
def test_random_networks(family, depth):
    """100,000 draws: the variance within 10 %, the mean within 0.06 standard deviations.

    The reference's own errors are 0.5 % and 0.003, so a failure is no accident.
    """
    stack = _stack(family(), (5, *[30] * depth, 1), (0.0, *[0.2] * depth))
    _widen(stack)
    of_variance, of_mean = _errors(stack, ROWS)
    assert of_variance < 0.1
    assert of_mean < 0.06


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("family", FAMILIES)
def test_trained_networks(real_target, family):
    """As for random networks."""
    X, y = real_target
    model = quick(
        DropoutMLPRegressor,
        hidden_layer_sizes=(30, 30),
        dropout=family,
        dropout_rate=0.2,
        max_iter=60,
        tol=0.0,
        n_iter_no_change=np.inf,
    )
    of_variance, of_mean = _errors(model.fit(X, y).net_.module_, X[:20])
    assert of_variance < 0.1
    assert of_mean < 0.06


@pytest.mark.parametrize("activation", ["tanh", "logistic", "identity"])
def test_other_activations(activation):
    stack = _stack(Bernoulli(), (5, 50, 50, 1), (0.0, 0.2, 0.2), activation)
    of_variance, of_mean = _errors(stack, ROWS)
    assert of_variance < 0.05
    assert of_mean < 0.03


@pytest.mark.parametrize(("normalization", "bound"), [("batch", 0.1), ("layer", 0.15)])
def test_normalization(normalization, bound):
    """Layer normalization is taken to first order, which costs some percent."""
    stack = _stack(Bernoulli(), (5, 50, 50, 1), (0.0, 0.2, 0.2), "relu", normalization)
    of_variance, of_mean = _errors(stack, ROWS)
    assert of_variance < bound
    assert of_mean < 0.06


def test_noise_on_many_inputs():
    """With noise on the inputs the first sums are only nearly Gaussian."""
    stack = _stack(Bernoulli(), (30, 50, 1), (0.2, 0.2))
    of_variance, of_mean = _errors(stack, np.random.default_rng(0).standard_normal((6, 30)))
    assert of_variance < 0.1
    assert of_mean < 0.06


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("normalization", [None, "layer"])
def test_directions_of_the_outputs_are_what_they_are_combined_from(family, normalization):
    stack = _stack(family(), (5, 20, 20, 3), (0.1, 0.2, 0.2), "relu", normalization)
    _widen(stack)
    directions = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])
    mean, covariance = (values[0] for values in _closed_form(stack, ROWS))
    with torch.inference_mode():
        asked = replace(stack.moments(), directions=directions)
        ((_, (ours,)),) = propagate(asked, torch.as_tensor(ROWS))
    D = directions.numpy()
    np.testing.assert_allclose(ours.mean, mean @ D.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.covariance, D @ covariance @ D.T, rtol=1e-9, atol=1e-12)


def test_the_variance_of_rare_drops(real_target):
    """Noise that is far from symmetric: within 4 %, where a slope alone would be off by 7 %."""
    X, y = real_target
    model = quick(
        DropoutMLPRegressor, hidden_layer_sizes=(50, 50), max_iter=100, tol=0.0, dropout_rate=0.1
    )
    of_variance, of_mean = _errors(model.fit(X, y).net_.module_, X[:30])
    assert of_variance < 0.04
    assert of_mean < 0.04


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_nearer_than_by_a_hundred_draws(n_classes, depth):
    """Mean probabilities and mutual information, over the rows, against 5,000 draws.

    Less than three fifths of the error of a hundred draws, which is a mean over twenty tries.
    """
    X, y = make_classification(
        500, 10, n_informative=6, n_classes=n_classes, class_sep=1.5, random_state=0
    )
    model = quick(
        DropoutMLPClassifier,
        hidden_layer_sizes=(50,) * depth,
        dropout_rate=0.2,
        max_iter=60,
        calibrate=False,
    )
    model.fit(X[:400], y[:400])
    X = X[400:]
    draws = model.sample_proba(X, 5_000, random_state=1)
    truth, *few = (
        (part.mean(0), entropy_uncertainty(part).epistemic)
        for part in (draws, *draws[:2_000].reshape(20, 100, *draws.shape[1:]))
    )
    u = model.set_params(inference="moments").predict_uncertainty(X, measure="entropy")
    for ours, exact, *tries in zip((u.mean, u.epistemic), truth, *few, strict=True):
        of_draws = np.mean([np.abs(one - exact).mean() for one in tries])
        assert np.abs(ours - exact).mean() < 0.6 * of_draws


# ---- skewness ----------------------------------------------------------------------------------


def _skewness(stack, x):
    """Skewness ``(rows,)``, and what it is of ``(rows, n_raw)``."""
    with torch.inference_mode():
        asked = replace(stack.moments(), log_odds=True)
        ((_, (ours,)),) = propagate(asked, torch.as_tensor(x))
    decision = torch.ones_like(ours.mean) if ours.decision is None else ours.decision
    return ours.skewness[:, 0].numpy(), decision.numpy()


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("normalization", [None, "batch"])
def test_the_skewness_of_one_hidden_layer_is_that_over_all_masks(normalization, n_outputs):
    rate = round(0.3 * 2**16) / 2**16
    stack = _stack(Bernoulli(), (5, 6, n_outputs), (0.0, rate), "relu", normalization).double()
    outputs, shares = _over_all_masks(stack, torch.relu, rate)
    ours, decision = _skewness(stack, ROWS)
    outputs = np.einsum("snk,nk->sn", outputs, decision)
    centred = outputs - np.einsum("s,sn->n", shares, outputs)
    third, variance = (np.einsum("s,sn->n", shares, centred**power) for power in (3, 2))
    np.testing.assert_allclose(ours, third / variance**1.5, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("family", "depth"),
    [
        ("bernoulli", 2),
        ("bernoulli", 3),
        ("gaussian", 2),
        ("gaussian", 3),
        ("bayes_by_backprop", 2),
    ],
)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_the_skewness_of_deeper_networks(family, depth, n_outputs):
    """Two fifths of it are explained, or more; 100,000 draws, whose own error is 0.01."""
    stack = _stack(FAMILIES[family](), (5, *[30] * depth, n_outputs), (0.0, *[0.2] * depth))
    _widen(stack)
    rows = np.random.default_rng(3).standard_normal((40, 5))
    ours, decision = _skewness(stack, rows)
    draws = _draws(stack, rows, 100_000).astype(np.float64)
    draws = np.einsum("snk,nk->sn", draws, decision)
    expected = ((draws - draws.mean(0)) ** 3).mean(0) / draws.std(0) ** 3
    assert np.abs(ours - expected).mean() < 0.6 * np.abs(expected).mean()


# ---- classes: from Gaussian logits to probabilities --------------------------------------------


def _gaussian_logits(n_raw, seed=0):
    rng = np.random.default_rng(seed)
    roots = rng.uniform(0.1, 2.0, (8, 1, 1)) * rng.standard_normal((8, n_raw, n_raw))
    covariance = roots @ roots.transpose(0, 2, 1)
    mean = 2 * rng.standard_normal((8, n_raw))
    return mean, covariance


def _of_points(mean, covariance):
    outputs = GaussianOutputs(torch.from_numpy(mean), torch.from_numpy(covariance))
    (points,), shares = as_points([outputs])
    return points.numpy(), None if shares is None else shares.numpy()


def _both_measures(probabilities, shares):
    both = (
        measure(probabilities, shares) for measure in (probability_uncertainty, entropy_uncertainty)
    )
    return [np.asarray(field) for u in both for field in (u.mean[:, 0], *u[1:])]


def test_one_logit_is_integrated():
    mean, covariance = _gaussian_logits(1)
    points, shares = _of_points(mean, covariance)
    nodes = np.linspace(-9, 9, 40_001)
    weights = np.exp(-0.5 * nodes**2)
    fine = mean + nodes[:, None, None] * np.sqrt(covariance[:, 0])
    ours, exact = (
        _both_measures(np.concatenate([1 - sigmoid(raw), sigmoid(raw)], -1), share)
        for raw, share in [(points, shares), (fine, weights / weights.sum())]
    )
    for one, other in zip(ours, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_several_logits_are_integrated():
    """Against a grid of 60 x 60 x 60 points: quasi-random points are right to about a percent."""
    mean, covariance = _gaussian_logits(3)
    points, shares = _of_points(mean, covariance)
    assert shares is None
    nodes = np.linspace(-6, 6, 60)
    grid = np.array(list(itertools.product(nodes, repeat=3)))
    weights = np.exp(-0.5 * (grid**2).sum(1))
    for row in range(len(mean)):
        fine = softmax(mean[row] + grid @ np.linalg.cholesky(covariance[row]).T)[:, None]
        exact = _both_measures(fine, weights / weights.sum())
        ours = _both_measures(softmax(points[:, row : row + 1]), None)
        for one, other in zip(ours, exact, strict=True):
            np.testing.assert_allclose(one, other, rtol=0.1, atol=0.004)


def test_skewed_points_are_as_skewed():
    """One output: the expansion has an error of its own, which grows with the skewness."""
    mean, covariance = _gaussian_logits(1)
    skewness = np.linspace(-0.6, 0.6, len(mean))[:, None]
    outputs = GaussianOutputs(*map(torch.from_numpy, (mean, covariance, skewness)))
    (points,), shares = as_points([outputs])
    average = np.einsum("s,snk->nk", shares, points)
    np.testing.assert_allclose(average, mean, rtol=1e-7, atol=1e-7)
    centred = points.numpy() - average
    np.testing.assert_allclose(
        np.einsum("s,snk->nk", shares, centred**2), covariance[:, 0], rtol=1e-6
    )
    ours = np.einsum("s,snk->nk", shares, centred**3) / covariance[:, 0] ** 1.5
    np.testing.assert_allclose(ours, skewness, atol=0.02)


def test_points_of_log_odds_bend_along_the_decision():
    """Their mean, and along the decision the variance and the third moment.

    The points are few, and the expansion has an error of its own.
    """
    mean, covariance = map(torch.from_numpy, _gaussian_logits(3))
    decision = closest_decision(mean)
    variance = torch.einsum("ni,nij,nj->n", decision, covariance, decision).numpy()
    skewness = np.linspace(-0.6, 0.6, len(mean))
    skewed = torch.from_numpy(skewness).unsqueeze(1)
    points = GaussianOutputs(mean, covariance, skewed, decision).at(standard_points(3), 1).numpy()
    np.testing.assert_allclose(points[..., :3].mean(0), mean, rtol=1e-12, atol=1e-12)
    assert not points[..., 3].any()
    along = np.einsum("snk,nk->sn", points[..., :3] - mean.numpy(), decision.numpy())
    np.testing.assert_allclose((along**2).mean(0), variance, rtol=0.02)
    np.testing.assert_allclose((along**3).mean(0) / variance**1.5, skewness, atol=0.07)
    straight = GaussianOutputs(mean, covariance, None, decision).at(standard_points(3)).numpy()
    # Nothing moves but along what the decision's coordinate moves.
    along_with = covariance.numpy() @ decision.numpy()[:, :, None] / variance[:, None, None]
    rest = points[..., :3] - straight
    np.testing.assert_allclose(
        rest, np.einsum("snk,nk->sn", rest, decision)[..., None] * along_with[:, :, 0], atol=0.02
    )


@pytest.mark.parametrize("n_raw", [1, 2, 3, 10])
def test_points_have_the_mean_and_the_covariance(n_raw):
    mean, covariance = _gaussian_logits(n_raw)
    covariance[0] = 0.0
    covariance[1, 0] = covariance[1, :, 0] = 0.0
    points, shares = _of_points(mean, covariance)
    shares = np.full(len(points), 1 / len(points)) if shares is None else shares
    ours = np.einsum("s,snk->nk", shares, points)
    np.testing.assert_allclose(ours, mean, rtol=1e-7, atol=1e-7)
    centred = points - ours
    np.testing.assert_allclose(
        np.einsum("s,snk,snl->nkl", shares, centred, centred), covariance, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_of_outputs_that_depend_on_each_other(dtype, size):
    """Four outputs that move in two directions only, beside rows that move in all."""
    _, covariance = _gaussian_logits(4)
    root = np.random.default_rng(1).standard_normal((3, 4, 2))
    covariance[::3] = root @ root.transpose(0, 2, 1)
    covariance = (size**2 * covariance).astype(dtype)
    points, _ = _of_points(np.zeros((8, 4), dtype), covariance)
    ours = np.einsum("snk,snl->nkl", points, points) / len(points)
    bound = 20 * np.finfo(dtype).eps ** 0.5 * np.abs(covariance).max((1, 2), keepdims=True)
    assert (np.abs(ours - covariance) < bound).all()


@pytest.mark.parametrize("skewed", [False, True])
def test_outputs_of_value_zero_are_added_behind(skewed):
    """The last class's log odds against itself, which change nothing about the others."""
    mean, covariance = map(torch.from_numpy, _gaussian_logits(3))
    skewness = torch.full((8, 1), 0.3, dtype=torch.float64) if skewed else None
    outputs = GaussianOutputs(mean, covariance, skewness, closest_decision(mean))
    (points,), _ = as_points([outputs])
    (more,), _ = as_points([outputs], n_zeros=1)
    np.testing.assert_allclose(more[..., :3], points, rtol=1e-12, atol=1e-14)
    assert not more[..., 3:].any()
    assert more.shape[2] == 4
    np.testing.assert_allclose(points.mean(0), mean, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_raw", [2, 5, 9])
def test_the_first_dimension_is_all_that_moves_the_decision(n_raw):
    """Rows without variance and of low rank have roots as well."""
    mean, covariance = _gaussian_logits(n_raw)
    covariance[2] = 0.0
    covariance[3] = np.outer(mean[3], mean[3])
    mean, covariance = map(torch.from_numpy, (mean, covariance))
    decision = closest_decision(mean)
    root = torch.zeros(n_raw, n_raw, len(mean), dtype=torch.float64)
    set_root(root, covariance, decision)
    np.testing.assert_allclose(torch.einsum("ijn,ikn->njk", root, root), covariance, atol=1e-6)
    moved = torch.einsum("ijn,nj->in", root, decision).numpy()
    # Within the angle below which nothing is turned.
    assert (np.abs(moved[0]) >= 0.998 * np.linalg.norm(moved, axis=0)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_raw", [2, 5, 9])
def test_the_closest_decision_is_against_the_classes_that_may_win(n_raw, dtype):
    """In rows of any size, where no other class has any probability left too."""
    mean, _ = _gaussian_logits(n_raw)
    mean[0], mean[1, 0], mean[2, 0] = -9.0, 9.0, 1e9
    ours = closest_decision(torch.from_numpy(mean).to(dtype)).numpy()
    for z, decision in zip(np.pad(mean, [(0, 0), (0, 1)]), ours, strict=True):
        top = z.argmax()
        expected = np.full(n_raw + 1, -1.0)
        expected[np.arange(n_raw + 1) != top] = softmax(np.delete(z, top))
        np.testing.assert_allclose(decision, expected[:-1], rtol=1e-5, atol=1e-12)


def test_a_class_that_hardly_ever_wins_stays_so():
    """Nine log odds, one class 2.5 standard deviations behind another; against 8,192 points.

    The mean error of the probabilities over 200 random covariances is 0.54 to 0.56 of that of
    Cholesky's factors (four seeds).
    """
    rng = np.random.default_rng(0)
    roots = rng.standard_normal((200, 9, 9))
    covariance = roots @ roots.transpose(0, 2, 1)
    of_gap = covariance[:, 3, 3] + covariance[:, 6, 6] - 2 * covariance[:, 3, 6]
    mean = np.zeros((200, 9))
    mean[:, 6] = 30.0
    mean[:, 3] = 30.0 + 2.5 * np.sqrt(of_gap)
    moments = torch.from_numpy(mean), torch.from_numpy(covariance)
    decision = closest_decision(moments[0])
    fine = ndtri(qmc.Sobol(9, scramble=True, seed=1).random_base2(13))
    expected = np.stack(
        [
            softmax(np.pad(m + fine @ L.T, [(0, 0), (0, 1)])).mean(0)
            for m, L in zip(mean, np.linalg.cholesky(covariance), strict=True)
        ]
    )
    ours, other = (
        np.abs(softmax(outputs.at(standard_points(9), n_zeros=1).numpy()).mean(0) - expected).mean()
        for outputs in (
            GaussianOutputs(*moments, decision=decision),
            GaussianOutputs(*moments),
        )
    )
    assert ours < 0.7 * other


def test_points_are_always_the_same_and_nobody_can_change_them():
    assert standard_points(3) is standard_points(3)
    with pytest.raises(ValueError, match="read-only"):
        standard_points(3)[0] = 0.0


# ---- the estimators ----------------------------------------------------------------------------


@pytest.fixture(params=ESTIMATORS)
def estimator_class(request):
    return request.param


@pytest.fixture
def data(estimator_class, two_classes):
    return two_classes[0], target(estimator_class, two_classes[1])


@pytest.fixture(params=[(8,), (30, 20)], ids=["one-layer", "two-layers"])
def fitted(request, estimator_class, data):
    model = quick(estimator_class, hidden_layer_sizes=request.param, dropout_rate=0.3, n_members=2)
    return model.fit(*data)


def _answers(model, X, y):
    u = model.predict_uncertainty(X)
    columns = [*u, model.log_prob(X, y)]
    if isinstance(model, DropoutMLPClassifier):
        entropies = model.predict_uncertainty(X, measure="entropy")
        columns += [*model.predict_proba(X, return_std=True), *entropies, model.predict(X)]
    else:
        columns += [*model.predict(X, return_std=True), model.predict_interval(X)]
        columns.append(model.predict_quantiles(X, [0.2, 0.9]))
    return np.column_stack(columns)


def test_a_fitted_model_can_be_asked_both_ways(fitted, data):
    """Moments are near to 1,000 draws, and `inference` is read at prediction."""
    X, y = data
    drawn = _answers(fitted.set_params(n_draws=1000), X, y)
    closed = _answers(fitted.set_params(inference="moments"), X, y)
    assert not np.array_equal(drawn, closed)
    scale = np.abs(drawn).mean(0) + 1e-12
    assert (np.abs(closed - drawn).mean(0) / scale).max() < 0.1
    again = _answers(fitted.set_params(inference="draws"), X, y)
    np.testing.assert_array_equal(again, drawn)


def test_total_is_the_sum(fitted, data):
    model = fitted.set_params(inference="moments")
    u = model.predict_uncertainty(data[0])
    np.testing.assert_array_equal(u.total, u.epistemic + u.aleatoric)
    assert (u.epistemic > 0).all()


@pytest.mark.parametrize("size", [1, 7, 130])
def test_a_row_is_the_same_in_any_batch_and_order(fitted, data, size):
    X, y = (np.concatenate([values] * 4) for values in data)
    model = fitted.set_params(inference="moments")
    together = _answers(model, X, y)
    order = np.random.default_rng(0).permutation(len(X))
    parts = [order[i : i + size] for i in range(0, len(X), size)][:50]
    for part in parts:
        ours = _answers(model, X[part], y[part])
        np.testing.assert_allclose(ours, together[part], rtol=1e-9, atol=1e-12)


def test_float32_rows_give_the_same_to_float32(fitted, data):
    X, _ = data
    model = fitted.set_params(inference="moments")
    single, double = (model.predict_uncertainty(X.astype(t)) for t in (np.float32, np.float64))
    for ours, expected in zip(single, double, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("size", [1e8, 1e14])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_large_float32_rows_have_probabilities_too(n_classes, depth, size):
    """Their third and fourth powers are beyond float32; the same rows in float64 are not."""
    X, y = make_classification(200, 8, n_informative=6, n_classes=n_classes, random_state=0)
    model = quick(DropoutMLPClassifier, hidden_layer_sizes=(20,) * depth, inference="moments")
    model.fit(X, y)
    X = size * X[:30]
    single, double = (model.predict_proba(X.astype(t)) for t in (np.float32, np.float64))
    # Each of 64 points is certain of a class here, and rounding may decide where two are level.
    np.testing.assert_allclose(single, double, atol=2e-3 + 1 / 64)
    assert (np.abs(single - double) > 2e-3).mean() < 0.02


def test_n_draws_does_not_matter(fitted, data):
    X, y = data
    model = fitted.set_params(inference="moments")
    expected = _answers(model, X, y)
    np.testing.assert_array_equal(_answers(model.set_params(n_draws=0), X, y), expected)


def test_samples_are_drawn_as_ever(fitted, data):
    method = "sample_proba" if isinstance(fitted, DropoutMLPClassifier) else "sample_y"
    drawn = getattr(fitted, method)(data[0], 5, random_state=1)
    fitted.set_params(inference="moments")
    np.testing.assert_array_equal(getattr(fitted, method)(data[0], 5, random_state=1), drawn)


def test_members_are_a_mixture(real_target):
    X, y = real_target
    model = quick(DropoutMLPRegressor, n_members=3, inference="moments").fit(X, y)
    u = model.predict_uncertainty(X)
    mean, covariance = _closed_form(model.net_.module_, X)
    scale = model._target.scale[0]
    spread = (covariance[:, :, 0, 0].mean(0) + mean[:, :, 0].var(0)) * scale**2
    np.testing.assert_allclose(u.epistemic, spread, rtol=1e-9)
    np.testing.assert_allclose(u.mean, mean[:, :, 0].mean(0) * scale + model._target.mean[0])


def test_one_member_is_a_gaussian(real_target):
    """The predictive density is a Gaussian of epistemic and noise variance together."""
    X, y = real_target
    model = quick(DropoutMLPRegressor, inference="moments").fit(X, y)
    mean, std = model.predict(X, return_std=True)
    z = (y - mean) / std
    expected = -0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(model.log_prob(X, y), expected, rtol=1e-9)
    ends = np.column_stack([mean - 1.6448536269514722 * std, mean + 1.6448536269514722 * std])
    np.testing.assert_allclose(model.predict_interval(X, 0.9), ends, rtol=1e-6)


def test_several_outputs_are_jointly_gaussian(two_targets):
    X, y = two_targets
    model = quick(DropoutMLPRegressor, inference="moments", dropout_rate=0.5).fit(X, y)
    mean, covariance = _closed_form(model.net_.module_, X)
    total = covariance[0] + np.diag(model.noise_std_**2 / model._target.scale**2)
    gap = (y - model._target.mean) / model._target.scale - mean[0]
    squares = np.einsum("ni,nij,nj->n", gap, np.linalg.inv(total), gap)
    expected = -0.5 * (squares + np.linalg.slogdet(2 * np.pi * total)[1])
    expected -= np.log(model._target.scale).sum()
    np.testing.assert_allclose(model.log_prob(X, y), expected, rtol=1e-9)


@pytest.mark.parametrize("options", [{"noise": "heteroscedastic"}, {"loss": "poisson"}])
def test_noise_that_follows_from_the_outputs(real_target, options):
    X, y = real_target
    y = np.random.default_rng(0).poisson(np.exp(1 + X[:, 0])) if "loss" in options else y
    model = quick(DropoutMLPRegressor, hidden_layer_sizes=(30,), dropout_rate=0.2, **options)
    model.fit(X, y)
    drawn = _answers(model.set_params(n_draws=1000), X, y)
    closed = _answers(model.set_params(inference="moments"), X, y)
    relative = np.abs(closed - drawn) / (np.abs(drawn) + 0.01 * np.abs(drawn).mean(0))
    assert np.median(relative, axis=0).max() < 0.2


# ---- what cannot be asked ----------------------------------------------------------------------


def test_no_noise_and_one_member_is_still_an_error(estimator_class, data):
    model = quick(estimator_class, dropout=None, inference="moments").fit(*data)
    with pytest.raises(ValueError, match="this model has no noise"):
        model.predict_uncertainty(data[0])
    assert model.predict(data[0]).shape == data[1].shape


def test_members_without_noise_need_no_moments(estimator_class, data):
    model = quick(estimator_class, dropout=None, n_members=3).fit(*data)
    drawn = _answers(model, *data)
    np.testing.assert_array_equal(_answers(model.set_params(inference="moments"), *data), drawn)


def test_a_bad_value_after_the_fit(estimator_class, data):
    model = quick(estimator_class).fit(*data).set_params(inference="exact")
    with pytest.raises(ValueError, match=r"'inference' parameter .* must be .*'exact'"):
        model.predict(data[0])


class _Unstated(Bernoulli.layer):
    def gain_moments(self):
        return super(Bernoulli.layer, self).gain_moments()


class _Silent(Family):
    layer = _Unstated


def test_a_family_that_does_not_state_its_moments(estimator_class, data):
    model = quick(estimator_class, dropout=_Silent()).fit(*data).set_params(inference="moments")
    message = rf"{estimator_class.__name__}: inference='moments'.*_Unstated.*'draws'.*_Silent\(\)"
    with pytest.raises(ValueError, match=message):
        model.predict(data[0])
