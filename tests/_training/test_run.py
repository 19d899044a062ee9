"""A training as a whole: against a plain loop, and what its parameters promise."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, GradientNormClipping
from torch.nn.utils import parametrize

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from tests.reference import ESTIMATORS, ONE_NETWORK, quick, stack_twin, target


def _train(model, X, y, **kwargs):
    """Train for `max_iter` epochs, which is meant not to be enough."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **kwargs)


class _ScaledInputs(torch.nn.Module):
    """The weights of each input as a vector times a number."""

    def __init__(self, n_in):
        super().__init__()
        self.log = torch.nn.Parameter(torch.zeros(n_in, dtype=torch.float64))

    def forward(self, vectors):
        return vectors * (6 * self.log).exp()

    def divide(self, vectors):
        """Divide gradients by constant factors, which Adam does not see but for rounding."""
        vectors.grad /= (6 * self.log.detach()).exp()
        self.log.grad /= 6


def _plain_loop(model, network, X, y, loss_function, weight=None):
    """Minibatch training in plain torch, rows in their order: losses of the epochs."""
    first, scale_of_inputs = network[0], None
    if model.solver == "adam" and model.learn_input_scale:
        scale_of_inputs = _ScaledInputs(X.shape[1])
        parametrize.register_parametrization(first, "weight", scale_of_inputs)
    if model.solver == "adam":
        betas = model.beta_1, model.beta_2
        optimizer = torch.optim.Adam(network.parameters(), lr=model.learning_rate_init, betas=betas)
    else:
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=model.learning_rate_init,
            momentum=model.momentum,
            nesterov=model.nesterovs_momentum,
        )
    linears = [module for module in network if isinstance(module, torch.nn.Linear)]
    weight = np.ones(len(X)) if weight is None else weight / weight.mean()
    tensors = [torch.as_tensor(values, dtype=torch.float64) for values in (X, y, weight)]
    objective, curve = getattr(loss_function, "objective", loss_function), []
    for epoch in range(model.max_iter):
        for group in optimizer.param_groups:
            group["lr"] = model.learning_rate_init * _step_factor(model, epoch)
        batches = zip(*(values.split(model.batch_size) for values in tensors), strict=True)
        raws, losses = [], []
        for x, target_, w in batches:
            raw = network(x)
            loss = loss_function(raw, target_) * w
            l1 = sum(linear.weight.abs().sum() for linear in linears)
            l2 = sum(linear.weight.square().sum() for linear in linears) / 2
            penalty = model.alpha * (model.l1_ratio * l1 + (1 - model.l1_ratio) * l2)
            optimizer.zero_grad()
            # The regressor's steps are those of the squared error.
            scale = getattr(loss_function, "variance", 1)
            (((objective(raw, target_) * w).mean() + penalty / len(x)) * scale).backward()
            if scale_of_inputs is not None:
                scale_of_inputs.divide(first.parametrizations.weight.original)
            optimizer.step()
            raws.append(raw.detach())
            losses.append(loss.detach())
        curve.append(torch.cat(losses).mean().item())
        loss_function.epoch_end(torch.cat(raws), *tensors[1:])
    if scale_of_inputs is not None:
        parametrize.remove_parametrizations(first, "weight")
    return curve


def _step_factor(model, epoch):
    """The cooldown written out: a straight line to zero in the second half of the epochs."""
    if model.learning_rate != "cooldown":
        return 1.0
    return min(1.0, (model.max_iter - epoch) / (model.max_iter // 2 + 1))


class _BinaryLoss:
    def __call__(self, raw, y):
        return F.binary_cross_entropy_with_logits(raw[:, 0], y, reduction="none")

    def epoch_end(self, raw, y, weight):
        return


class _CategoricalLoss(_BinaryLoss):
    def __call__(self, raw, y):
        return F.cross_entropy(raw, y.long(), reduction="none")


class _GaussianLoss:
    variance = torch.ones(1, dtype=torch.float64)

    def __call__(self, raw, y):
        return -torch.distributions.Normal(raw[:, 0], self.variance.sqrt()).log_prob(y)

    def epoch_end(self, raw, y, weight):
        self.variance = ((raw[:, 0] - y).square() * weight).sum() / weight.sum()


class _HeteroscedasticLoss(_GaussianLoss):
    """With a constant shape of the noise for so many epochs."""

    def __init__(self, n_held):
        self.n_held = n_held

    def _normal(self, raw):
        log_variance = 3 * (raw[:, 1] / 3).tanh() if self.n_held <= 0 else raw[:, 1] * 0
        return torch.distributions.Normal(raw[:, 0], (self.variance * log_variance.exp()).sqrt())

    def __call__(self, raw, y):
        return -self._normal(raw).log_prob(y)

    def objective(self, raw, y):
        normal = self._normal(raw)
        mean, std = normal.mean, normal.stddev
        of_mean = -torch.distributions.Normal(mean, std.detach()).log_prob(y)
        of_std = -torch.distributions.Normal(mean.detach(), std).log_prob(y)
        return of_mean * (std.detach() ** 2 / self.variance) ** 0.25 + of_std

    def epoch_end(self, raw, y, weight):
        normal = self._normal(raw)
        ratios = (y - normal.mean).square() / (normal.variance / self.variance)
        self.variance = (ratios * weight).sum() / weight.sum()
        self.n_held -= 1


def _start(model, X, y):
    """The initial network: an untrained stack made from the same seeds."""
    untrained = model.__class__(**{**model.get_params(), "learning_rate_init": 1e-30})
    untrained.set_params(solver="sgd", max_iter=1, normalization=None)
    return stack_twin(_train(untrained, X, y).net_.module_)


def _assert_same_networks(model, network):
    ours = dict(stack_twin(model.net_.module_).named_parameters())
    for name, expected in network.named_parameters():
        torch.testing.assert_close(ours[name].data, expected.data, rtol=1e-6, atol=1e-7)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize(
    ("solver", "learn_input_scale"), [("adam", True), ("adam", False), ("sgd", True)]
)
@pytest.mark.parametrize(("alpha", "l1_ratio"), [(0.0, 0.0), (3.0, 0.0), (3.0, 0.4), (0.1, 1.0)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["binary", "categorical", "regression"])
def test_training_without_noise_is_a_plain_loop(
    two_classes,
    three_classes,
    real_target,
    kind,
    solver,
    learn_input_scale,
    alpha,
    l1_ratio,
    weighted,
):
    (X, y), loss_function, estimator_class = {
        "binary": (two_classes, _BinaryLoss(), DropoutMLPClassifier),
        "categorical": (three_classes, _CategoricalLoss(), DropoutMLPClassifier),
        "regression": (real_target, _GaussianLoss(), DropoutMLPRegressor),
    }[kind]
    weight = np.random.default_rng(0).uniform(0.2, 3, len(X)) if weighted else None
    model = estimator_class(
        (7, 6),
        activation="tanh",
        dropout=None,
        solver=solver,
        learn_input_scale=learn_input_scale,
        alpha=alpha,
        l1_ratio=l1_ratio,
        batch_size=32,
        learning_rate="constant",
        learning_rate_init=0.01,
        max_iter=4,
        shuffle=False,
        random_state=3,
        **ONE_NETWORK,
    )
    network = _start(model, X, y)
    _train(model, X, y, sample_weight=weight)
    if kind == "regression":
        mean = np.average(y, weights=weight)
        y = (y - mean) / np.sqrt(np.average((y - mean) ** 2, weights=weight))
    curve = _plain_loop(model, network, X, y, loss_function, weight)
    _assert_same_networks(model, network)
    penalty = model.loss_ - curve[-1]
    assert penalty >= -1e-6 if alpha else abs(penalty) < 1e-6


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_two_steps_in_float32_are_those_of_a_plain_loop(two_classes, estimator_class, weighted):
    """Of gradient descent: two steps do not make rounding grow."""
    X, y = two_classes
    weight = np.random.default_rng(0).uniform(0.2, 3, len(X)) if weighted else None
    steps = {"solver": "sgd", "learning_rate": "constant", "learning_rate_init": 0.1}
    options = {"activation": "tanh", "dropout": None, "alpha": 3.0, "l1_ratio": 0.4, **steps}
    model = estimator_class(
        (7, 6),
        batch_size=60,
        max_iter=1,
        shuffle=False,
        random_state=3,
        **options,
        **ONE_NETWORK,
    )
    network = _start(model, X, y)
    _train(model, X, y, sample_weight=weight)
    loss_function = _BinaryLoss()
    if estimator_class is DropoutMLPRegressor:
        mean, loss_function = np.average(y, weights=weight), _GaussianLoss()
        y = (y - mean) / np.sqrt(np.average((y - mean) ** 2, weights=weight))
    _plain_loop(model, network, X, y, loss_function, weight)
    ours = dict(stack_twin(model.net_.module_).named_parameters())
    for name, expected in network.named_parameters():
        torch.testing.assert_close(ours[name].data, expected.data, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("learning_rate", ["cooldown", "constant"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_shape_of_the_noise_is_learned_while_the_steps_fall(
    real_target, weighted, learning_rate
):
    """Against a plain loop; without a cooldown it is learned from the start."""
    X, y = real_target
    weight = np.random.default_rng(0).uniform(0.2, 3, len(X)) if weighted else None
    model = DropoutMLPRegressor(
        (7, 6),
        activation="tanh",
        dropout=None,
        noise="heteroscedastic",
        alpha=0.1,
        batch_size=32,
        learning_rate=learning_rate,
        max_iter=8,
        shuffle=False,
        random_state=3,
        **ONE_NETWORK,
    )
    network = _start(model, X, y)
    _train(model, X, y, sample_weight=weight)
    mean = np.average(y, weights=weight)
    scaled = (y - mean) / np.sqrt(np.average((y - mean) ** 2, weights=weight))
    loss_function = _HeteroscedasticLoss(4 if learning_rate == "cooldown" else 0)
    curve = _plain_loop(model, network, X, scaled, loss_function, weight)
    _assert_same_networks(model, network)
    # What is reported is the likelihood of the model that is trained, held or not.
    np.testing.assert_allclose(model.loss_terms_["likelihood"], curve, rtol=1e-6)


def test_single_passes_learn_the_shape_of_the_noise(real_target):
    model = DropoutMLPRegressor(noise="heteroscedastic", random_state=0, **ONE_NETWORK).partial_fit(
        *real_target
    )
    for _ in range(5):
        model.partial_fit(*real_target)
    assert np.ptp(model.predict_uncertainty(real_target[0]).aleatoric) > 0


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("dropout", ["bernoulli", "gaussian", None])
def test_a_member_trains_as_it_would_alone(two_classes, dropout, normalization):
    X, y = two_classes
    parameters = {
        "dropout": dropout,
        "normalization": normalization,
        "hidden_layer_sizes": (7, 6),
        "learning_rate_init": 0.05,
    }
    together = quick(DropoutMLPClassifier, n_members=3, **parameters).fit(X, y)
    alone = quick(DropoutMLPClassifier, n_members=1, **parameters).fit(X, y)
    # The first of three seeds is the only one of one.
    assert together.net_.module_.members[0].seed == alone.net_.module_.members[0].seed
    stacked, single = (model.net_.module_.state_dict() for model in (together, alone))
    for name, values in single.items():
        torch.testing.assert_close(stacked[name][0], values[0], rtol=1e-6, atol=1e-7)


def test_members_differ(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, n_members=2).fit(X, y)
    for values in model.net_.module_.parameters():
        assert not torch.equal(values[0], values[1])


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_the_penalty_shrinks_the_weights(two_classes, normalization, noisy):
    X, y = two_classes
    sizes = []
    for alpha in (0.0, 100.0):
        model = quick(
            DropoutMLPClassifier,
            dropout="bernoulli" if noisy else None,
            alpha=alpha,
            normalization=normalization,
            learning_rate_init=0.05,
        ).fit(X, y)
        sizes.append(model.net_.module_.linears[0].weight.abs().mean().item())
    assert sizes[1] < 0.5 * sizes[0]


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_the_loss_falls(two_classes, estimator_class):
    X, y = two_classes
    model = quick(estimator_class, n_iter_no_change=30, learning_rate_init=0.01)
    model.fit(X, target(estimator_class, y))
    assert model.loss_curve_[-1] < model.loss_curve_[0] - 0.1
    assert model.loss_ == model.loss_curve_[-1]
    assert model.best_loss_ == min(model.loss_curve_)
    assert (model.n_iter_, model.t_) == (32, 32 * len(X))


def test_inverse_scaling_of_the_learning_rate(two_classes):
    X, y = two_classes

    class Rates(Callback):
        seen: list = []

        def on_epoch_begin(self, net, **kwargs):
            self.seen.append(net.optimizer_.param_groups[0]["lr"])

    model = quick(
        DropoutMLPClassifier,
        solver="sgd",
        learning_rate="invscaling",
        learning_rate_init=0.1,
        power_t=0.3,
        callbacks=[Rates()],
    )
    model.fit(X, y)
    expected = 0.1 / (np.arange(7) * len(X) + 1) ** 0.3
    np.testing.assert_allclose(Rates.seen, expected, rtol=1e-6)


def test_the_adaptive_learning_rate_is_divided_by_five(two_classes):
    X, y = two_classes
    model = quick(
        DropoutMLPClassifier,
        solver="sgd",
        learning_rate="adaptive",
        learning_rate_init=1e-4,
        n_iter_no_change=1,
    )
    model.fit(X, y)
    rate = model.net_.optimizer_.param_groups[0]["lr"]
    assert rate == pytest.approx(1e-4 / 5**3)
    assert rate < 1e-6


@pytest.mark.parametrize("normalization", [None, "batch"])
def test_skorchs_gradient_clipping(two_classes, normalization):
    X, y = two_classes
    moved = []
    for clip in (None, 1e-6):
        callbacks = None if clip is None else [GradientNormClipping(clip)]
        model = quick(
            DropoutMLPClassifier,
            solver="sgd",
            momentum=0.0,
            learning_rate_init=0.1,
            alpha=0.0,
            normalization=normalization,
            callbacks=callbacks,
        )
        weight = model.fit(X, y).net_.module_.cpu().linears[0].weight[0].T
        moved.append(weight.detach().double() - _start(model, X, y)[_first_linear(model)].weight)
    assert moved[0].norm() > 1e-3
    # Seven steps of at most 0.1 times 1e-6, and the rounding of float32.
    assert moved[1].norm() < 5e-6


def _first_linear(model):
    return 0 if model.input_dropout_rate == 0 else 1
