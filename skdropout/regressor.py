"""`DropoutMLPRegressor`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import column_or_1d, validate_data
from torch import Tensor

from ._calibration import HeldOut
from ._predictive import PredictiveDistribution
from .calibration import quality_of_mixtures, scale_of_std
from .gaussian_likelihoods import GaussianLikelihood, HeteroscedasticLikelihood
from .gaussian_outputs import GaussianOutputs, equally_likely_points
from .likelihood import Likelihood, PoissonLikelihood
from .mixture import CorrelatedNormalMixture, Mixture, NormalMixture, PoissonMixture


@dataclass(eq=False, repr=False)
class DropoutMLPRegressor(RegressorMixin, PredictiveDistribution):
    """A multi-layer perceptron regressor with dropout that says how sure it is.

    It takes the place of scikit-learn's `MLPRegressor`. Dropout stays on at prediction: `n_draws`
    thinned networks answer, their mean is the prediction and what they disagree about is what the
    model does not know. It also learns how noisy the targets are.

    Parameters
    ----------
    hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(64, 64)
        Units of each hidden layer. An int stands for one hidden layer.
    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Activation of the hidden units.
    dropout : str, Family or None, default="bernoulli"
        Kind of noise, a name or an object of `skdropout.families`. "bernoulli" switches units off;
        "gaussian" multiplies them by normal noise of the same mean and variance; "concrete" learns
        the rate of each layer, "variational_gaussian" the noise of each unit; "variational" and
        "bayes_by_backprop" learn a distribution of each weight. None is no noise, uncertainty then
        needs ``n_members > 1``. An object carries parameters of its own, which appear in
        `get_params` as ``dropout__...``.
    dropout_rate : float or array-like of shape (n_layers - 2,), default=0.2
        Probability of dropping a hidden unit, in [0, 1): one for all hidden layers or one each.
        For "gaussian" the variance of the noise is ``rate / (1 - rate)``. For "concrete" and
        the variational families it is where learning starts; "bayes_by_backprop" does not use it.
    input_dropout_rate : float, default=0.0
        The same for the inputs. The outputs are never dropped.
    n_draws : int or "auto", default=100
        Functions that are drawn for prediction, for each member. 0 is the weight-scaling rule:
        one network without noise, no uncertainty from draws. "auto" draws for each row 100, 200,
        400, 800 or at most 1,600, until the standard errors of its mean and of its epistemic
        standard deviation are at most 2.5 % of its total standard deviation. Every method that
        averages over draws does so. Read at prediction, so ``set_params(n_draws=1000)`` needs no
        refit.
    inference : {"draws", "moments"}, default="draws"
        How the distribution over all draws is found: from `n_draws` of them, or as a mean and a
        variance in closed form, which is nearer to infinitely many draws than a hundred of them
        are, and faster. What it assumes is in docs/moments.md. Read at prediction, so
        ``set_params(inference="moments")`` needs no refit. `n_draws` then does not matter;
        `sample_proba` and `sample_y` still draw.
    n_members : int, default=1
        Networks that are trained side by side from different starts, a deep ensemble. A
        prediction averages over the draws of all of them.
    normalization : {"batch", "layer"} or None, default=None
        Normalization of each hidden layer, in the order linear map, normalization, activation,
        dropout. The statistics of "batch" stand still at prediction.
    solver : {"adam", "sgd"}, default="adam"
        Optimizer. scikit-learn's "lbfgs" needs an objective without noise and is not offered.
    alpha : float, default=0.02
        Strength of the penalty on the weights. As in scikit-learn's MLP it is divided by the rows
        of a batch and biases are free of it.
    l1_ratio : float, default=0.0
        Share of the L1 norm in the penalty, as in `ElasticNet`. 0 is scikit-learn's L2 penalty.
    batch_size : int or "auto", default="auto"
        Rows per step of the optimizer. "auto" is ``n_samples // 20``, but at least 16 and at most
        200: twenty steps an epoch for tables of some hundred to 4,000 rows.
    learning_rate : {"constant", "invscaling", "adaptive", "cooldown"}, default="cooldown"
        Schedule of the step size. "cooldown" keeps it until training would stop, or half of
        `max_iter` is over; then it falls on a straight line towards zero, for as many epochs as
        there were until then, and training ends. The others are scikit-learn's. "invscaling" and
        "adaptive" are for ``solver="sgd"`` only: "invscaling" divides `learning_rate_init` by
        ``t_ ** power_t``; "adaptive" divides the step size by five each time that training would
        stop.
    learning_rate_init : float, default=0.003
        First step size.
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=400
        Largest number of epochs.
    shuffle : bool, default=True
        Order the rows anew in each epoch.
    random_state : int, RandomState instance or None, default=None
        Everything random follows from it, and is settled in `fit`: initial weights, order of the
        rows, noise, the held-out part and the draws that predict. None takes fresh entropy from
        the operating system, not NumPy's global generator.
    tol : float, default=1e-4
        Improvement, in nats per row, that counts. Training stops after `n_iter_no_change` epochs
        without it.
    verbose : bool or int, default=False
        Print a line per epoch.
    warm_start : bool, default=False
        Let `fit` go on from the weights of the last `fit`. The optimizer starts anew.
    momentum : float, default=0.9
        Momentum of ``solver="sgd"``, in [0, 1).
    nesterovs_momentum : bool, default=True
        Use Nesterov's momentum, for ``solver="sgd"`` with a positive `momentum`.
    early_stopping : bool, default=False
        Hold out a part of the rows, watch their log-likelihood instead of the training loss, and
        restore the weights of the best epoch. scikit-learn's MLP watches the
        accuracy or R^2 instead.
    validation_fraction : float, default=0.1
        Share of the rows that `early_stopping` holds out, unless `fit` is given `X_val`.
    beta_1 : float, default=0.9
        Decay of Adam's mean of gradients, in [0, 1).
    beta_2 : float, default=0.999
        Decay of Adam's mean of squared gradients, in [0, 1).
    epsilon : float, default=1e-8
        Keeps Adam from dividing by zero.
    n_iter_no_change : int or inf, default=20
        Epochs without an improvement of `tol` after which training stops.
    calibrate : bool, default=True
        Multiply the predictive standard deviation by one number for each output, such that 90 %
        intervals hold 90 % of rows that were new to a network: those that `early_stopping` holds
        out, or else each fifth of the rows in turn, held out from networks that are trained beside
        the model for this alone. The model itself loses no row and its mean stays. Tables of less
        than 500 rows have ten such networks, which lack a tenth each; those of more than 1,000 rows
        need fewer than five, from 5,000 rows on one. Counts are not calibrated.
    device : str, default="auto"
        "cpu", "cuda" or another device of torch's. "auto" takes a GPU only where there is one and
        the network is large enough to gain from it.
    callbacks : list of skorch callbacks or None, default=None
        For people who know skorch. Copies of them take part in the training.
    loss : {"squared_error", "poisson"}, default="squared_error"
        "squared_error" stands for a normal distribution, with noise as `noise` says. "poisson" is
        for counts: the network predicts the logarithm of the expected count, `y` must not be
        negative, and `noise` and `normalize_y` do not apply.
    noise : {"homoscedastic", "heteroscedastic"}, default="homoscedastic"
        Observation noise: one standard deviation per output, or one that the network predicts for
        each row. Both are learned.
    normalize_y : bool, default=True
        Train on targets of mean zero and variance one, as in `GaussianProcessRegressor`. Every
        result is in the units of y either way.

    Attributes
    ----------
    n_features_in_ : int
        Columns of `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where `X` has names that are all strings.
    n_outputs_ : int
        Columns of `y`.
    n_layers_ : int
        Layers, with the inputs and the outputs.
    n_iter_ : int
        Epochs of the last `fit`, or of all calls of `partial_fit`.
    loss_ : float
        Loss of the last epoch: the mean negative log-likelihood of the training rows under fresh
        noise, in nats per row of the standardised y, plus the KL and the penalty.
    best_loss_ : float or None
        Lowest of `loss_curve_`. None with ``early_stopping=True``.
    loss_curve_ : list of float
        `loss_` after each epoch.
    loss_terms_ : dict of list of float
        What `loss_curve_` is the sum of, in nats per row: "likelihood" (negative log), "kl" (with
        its weight and warm-up, divided by the training rows) and "penalty".
    validation_scores_ : list of float or None
        Mean log-likelihood of the held-out rows after each epoch, in nats. None without
        `early_stopping`.
    best_validation_score_ : float or None
        Highest of them, the score of the weights that were kept.
    out_activation_ : str
        "identity", or "exp" with ``loss="poisson"``.
    t_ : int
        Rows seen in training, each as often as it was seen.
    dropout_rates_ : ndarray
        Rate of each noisy linear map, from the inputs on. Empty without noise. Learned rates are
        means over the members; for a posterior over weights the rate of equal noise.
    dropout_rates_curve_ : ndarray of shape (n_epochs, len(dropout_rates_))
        `dropout_rates_` after each epoch.
    sparsity_ : float
        Share of the weights that the noise family has switched off.
    sparsity_per_layer_ : ndarray of shape (n_layers - 1,)
        The same for each linear map.
    noise_std_ : float or ndarray of shape (n_outputs_,)
        Learned standard deviation of the observation noise, in the units of y. A float if `y` had
        one dimension. The root of the noise variance's mean over the members and, with
        ``noise="heteroscedastic"``, over the training rows. Not there with ``loss="poisson"``.
    calibration_ : dict or None
        What `calibrate` did: "method" ("out-of-fold" or "held-out part"), "n_rows", "scale" (one
        factor for each output), and mean log density and interval coverage of those rows,
        "log_prob_before", "log_prob_after", "coverage_before" and "coverage_after" (by level).
        None without it, and with fewer than ten rows.
    net_ : DropoutNet
        The trained skorch net: ``net_.module_`` is the stack of networks, ``net_.history`` what
        each epoch recorded.

    See Also
    --------
    skdropout.predict_uncertainty : Uncertainty through pipelines and searches.
    DropoutMLPClassifier : The same for classes instead of numbers.
    sklearn.neural_network.MLPRegressor : The same network without dropout.

    Notes
    -----
    A fitted model is a fixed set of functions. Each draw is one network, the same for every row,
    so what a row gets depends neither on the rows beside it nor on how often it is asked.

    The likelihood is normal. With ``noise="homoscedastic"`` its variance has a closed form given
    the network, the mean squared residual of the noisy passes, and is set to it at the end of each
    epoch. With ``noise="heteroscedastic"`` the network has a second output for each column of `y`,
    the logarithm of the variance over a common scale of that closed form, within +-3. With
    ``learning_rate="cooldown"`` it learns that while the steps fall. Until then the noise is
    constant, so that rows that are merely fitted late are not taken for noisy ones. Each row is
    weighed by a power of its variance besides, so that rows that are noisy at first are fitted
    too. A prediction's variance is the draws' variance plus this noise. `log_prob` is the log
    density of the mixture over the draws, per unit of y.

    Networks train in float32; prediction computes in the dtype of `X`, float64 or float32. Scale
    the inputs first, as for any network.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014). Dropout: a simple way to
    prevent neural networks from overfitting. Journal of Machine Learning Research 15.

    Gal and Ghahramani (2016). Dropout as a Bayesian approximation: representing model uncertainty
    in deep learning. ICML.

    Lakshminarayanan, Pritzel and Blundell (2017). Simple and scalable predictive uncertainty
    estimation using deep ensembles. NeurIPS.

    Seitzer, Tavakoli, Antic and Martius (2022). On the pitfalls of heteroscedastic uncertainty
    estimation with probabilistic neural networks. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skdropout import DropoutMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> model = DropoutMLPRegressor(early_stopping=True, random_state=0)
    >>> model = model.fit(X[:350], y[:350])
    >>> model.score(X[350:], y[350:]) > 0.3
    True
    >>> mean, std = model.predict(X[350:], return_std=True)
    >>> mean.shape, std.shape
    ((92,), (92,))
    >>> 30 < model.noise_std_ < 90
    True
    >>> uncertainty = model.predict_uncertainty(X[350:])
    >>> uncertainty.epistemic.shape
    (92,)
    """

    hidden_layer_sizes: Any = (64, 64)
    _: KW_ONLY
    dropout_rate: Any = 0.2
    alpha: float = 0.02
    calibrate: bool = True
    learning_rate: str = "cooldown"
    learning_rate_init: float = 0.003
    loss: str = "squared_error"
    max_iter: int = 400
    n_iter_no_change: float = 20
    noise: str = "homoscedastic"
    normalize_y: bool = True

    _parameter_constraints: ClassVar[dict] = {
        **PredictiveDistribution._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
        "noise": [StrOptions({"homoscedastic", "heteroscedastic"})],
        "normalize_y": ["boolean"],
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @staticmethod
    def _auto_batch_size(n_rows: int) -> int:
        # Twenty steps an epoch, in batches of 16 to 200 rows.
        return min(max(n_rows // 20, 16), 200, n_rows)

    # ---- fit -----------------------------------------------------------------------------

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> DropoutMLPRegressor:
        """Train for one pass over the given rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The first call's targets set the scale of all later ones.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object
        """
        return self._partial_fit(X, y, sample_weight, None)

    def _validate_xy(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            reset=reset,
            multi_output=True,
            y_numeric=True,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not reset and (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(
                f"{type(self).__name__}: y has shape {y.shape}, but the model was fitted to "
                f"{self.n_outputs_} outputs"
            )
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(
                f"{type(self).__name__}: loss='poisson' needs y that is zero or positive, got "
                f"{y.min():.6g}"
            )
        return X, y

    def _total_weight(self, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        return weight

    def _set_target(self, y: np.ndarray, weight: np.ndarray | None, classes: Any) -> None:
        columns = y.reshape(len(y), -1).astype(np.float64)
        if weight is not None:
            # As in the loss: rows of weight zero are not there, and equal weights are none.
            columns, weight = columns[weight > 0], weight[weight > 0]
            weight = weight if np.ptp(weight) else None
        if self.loss == "poisson" and self.noise != "homoscedastic":
            raise ValueError(
                f"{type(self).__name__}: noise must be left at 'homoscedastic' with "
                f"loss='poisson', got {self.noise!r}; the noise of a count follows from its mean"
            )
        if len(columns) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 rows to learn how y varies, got "
                f"n_samples = {len(columns)}"
            )
        constant = np.flatnonzero(np.ptp(columns, axis=0) == 0)
        if len(constant):
            where = "y" if y.ndim == 1 else f"column {constant[0]} of y"
            raise ValueError(
                f"{type(self).__name__}: {where} is constant "
                f"({columns[0, constant[0]]:.6g}), there is nothing to learn from it"
            )
        self.n_outputs_ = columns.shape[1]
        self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        self._y_ndim = y.ndim
        self._y_mean, self._y_scale = np.zeros(self.n_outputs_), np.ones(self.n_outputs_)
        mean = np.average(columns, axis=0, weights=weight)
        if self.loss == "poisson":
            self._mean_count = mean
        elif self.normalize_y:
            self._y_mean = mean
            variance = np.average((columns - self._y_mean) ** 2, axis=0, weights=weight)
            self._y_scale = np.sqrt(variance)

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        columns = y.reshape(len(y), -1)
        return ((columns - self._y_mean) / self._y_scale).astype(np.float32)

    def _make_likelihood(self) -> Likelihood:
        if self.loss == "poisson":
            means = torch.from_numpy(self._mean_count.astype(np.float32))
            return PoissonLikelihood(self.n_members, means)
        if self.noise == "homoscedastic":
            return GaussianLikelihood(self.n_members, self.n_outputs_)
        held = self.learning_rate == "cooldown"
        return HeteroscedasticLikelihood(self.n_members, self.n_outputs_, held)

    # ---- prediction ----------------------------------------------------------------------

    @property
    def noise_std_(self) -> Any:
        """Standard deviation of the observation noise, in the units of y."""
        likelihood = self.net_.criterion_
        if isinstance(likelihood, PoissonLikelihood):
            raise AttributeError(
                f"{type(self).__name__}.noise_std_: with loss='poisson' the noise of a count "
                "follows from its mean; see predict_uncertainty(X).aleatoric"
            )
        std = np.sqrt(likelihood.variance[:, 0].mean(0).cpu().double().numpy()) * self._y_scale
        std = std * self._scale()
        return float(std[0]) if self._y_ndim == 1 else std

    def _components(self, raws: list[Any], likelihood: Likelihood) -> Mixture:
        if isinstance(raws[0], GaussianOutputs):
            if type(likelihood) is GaussianLikelihood:
                return self._gaussian_mixture(raws, likelihood)
            # A variance or a count that follows from a Gaussian output has no such formula.
            raws = equally_likely_points(raws)
        parts = [likelihood.distribution(raw, member) for member, raw in enumerate(raws)]
        means = np.concatenate([part.mean.cpu().double().numpy() for part in parts])
        if isinstance(likelihood, PoissonLikelihood):
            return PoissonMixture(means)
        noise = np.concatenate([part.variance.cpu().double().numpy() for part in parts])
        return NormalMixture(means * self._y_scale + self._y_mean, noise * self._y_scale**2)

    def _mixture(self, raws: list[Any]) -> Mixture:
        return self._rescaled(self._components(raws, self.net_.criterion_), None)

    def _sampled_mixture(
        self, raws: list[Tensor], functions: np.ndarray, mean: np.ndarray
    ) -> Mixture:
        components = self._components(raws, self.net_.criterion_).take(functions)
        return self._rescaled(components, mean)

    def _gaussian_mixture(
        self, outputs: list[GaussianOutputs], likelihood: GaussianLikelihood
    ) -> Mixture:
        """One Gaussian a member: its functions' mean and covariance, and its noise."""
        means = np.stack([member.mean.cpu().double().numpy() for member in outputs])
        noise = likelihood.variance.cpu().double().numpy() * self._y_scale**2
        covariance = np.stack([member.covariance.cpu().double().numpy() for member in outputs])
        covariance *= self._y_scale * self._y_scale[:, None]
        means = means * self._y_scale + self._y_mean
        if self.n_outputs_ > 1:
            return CorrelatedNormalMixture(means, noise, covariance)
        return NormalMixture(means, noise, covariance[..., 0])

    # ---- calibration ---------------------------------------------------------------------

    def _scale(self) -> np.ndarray | float:
        return 1.0 if self.calibration_ is None else np.atleast_1d(self.calibration_["scale"])

    def _rescaled(self, mixture: Mixture, mean: np.ndarray | None) -> Mixture:
        return (
            mixture.scaled(self._scale(), mean) if isinstance(mixture, NormalMixture) else mixture
        )

    def _can_calibrate(self) -> bool:
        # The spread of counts follows from their mean.
        return self.loss != "poisson"

    def _calibration(self, held_out: list[HeldOut]) -> dict[str, Any]:
        mixtures: list[NormalMixture] = []
        targets, weights = [], []
        for part in held_out:
            mixture = self._components(part.raws, part.likelihood)
            assert isinstance(mixture, NormalMixture), "counts are not calibrated"
            mixtures.append(mixture)
            weights.append(part.weight)
            targets.append(part.rows.y.numpy() * self._y_scale + self._y_mean)
        scale = scale_of_std(mixtures, targets, weights)
        calibrated = [mixture.scaled(scale) for mixture in mixtures]
        return {
            "scale": float(scale[0]) if self._y_ndim == 1 else scale,
            **quality_of_mixtures("before", mixtures, targets, weights),
            **quality_of_mixtures("after", calibrated, targets, weights),
        }
