"""`DropoutMLPRegressor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from .._inference.functions import reduce
from .._likelihoods.normal import SMALLEST_VARIANCE
from .._likelihoods.poisson import PoissonLikelihood
from .._predictive.levels import as_intervals, checked_levels, checked_quantiles, tails
from .._predictive.mixture import Mixture
from .._predictive.target_columns import TargetColumns, column_means
from .._support.caller_warnings import one_column, warn
from .._support.gaps import split_gaps
from .._support.random import local_random_state
from .._support.sklearn import StrOptions
from .answering import functions_of, sampled_functions
from .base import DropoutMLP
from .gap_scores import r2_of_columns
from .numbers import Counts, NumericTarget, RealNumbers


@dataclass(eq=False, repr=False)
class DropoutMLPRegressor(RegressorMixin, DropoutMLP):
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
    dropout_rate : float or array-like of shape (n_layers - 2,), default=0.1
        Probability of dropping a hidden unit, in [0, 1): one for all hidden layers or one each.
        For "gaussian" the variance of the noise is ``rate / (1 - rate)``. For "concrete" and
        the variational families it is where learning starts; "bayes_by_backprop" does not use it.
    input_dropout_rate : float, default=0.0
        The same for the inputs. The outputs are never dropped.
    n_draws : int or "auto", default=100
        Functions that are drawn for prediction, in all, evenly from the networks of the model (one
        of each at least). 0 is the weight-scaling rule: networks without noise, no uncertainty
        from draws. "auto" draws for each row 100, 200, 400, 800 or at most 1,600, until the
        standard errors of its mean and of its epistemic standard deviation are at most 2.5 % of
        its total standard deviation. Every method that averages over draws does so. Read at
        prediction, so ``set_params(n_draws=1000)`` needs no refit.
    inference : {"draws", "moments"}, default="draws"
        How the distribution over all draws is found: from `n_draws` of them, or as a mean and a
        variance in closed form, which is nearer to infinitely many draws than a hundred of them
        are, and faster. What it assumes is in docs/moments.md. Read at prediction, so
        ``set_params(inference="moments")`` needs no refit. `n_draws` then does not matter;
        `sample_proba` and `sample_y` still draw.
    n_members : int, default=1
        Networks from different starts, a deep ensemble; with `cv` so many for each fold. A
        prediction averages over the draws of all of them.
    distance_awareness : float, default=0.0
        How unsure predictions become where training rows are far: a factor on the prior standard
        deviation of a Gaussian process, whose functions, of mean zero, are added to the draws. Its
        length scale and noise are those that make `y` most probable, and its posterior given the
        training rows has a closed form. 1 is what these rows say, more is more careful, 0 is no
        process. Then networks without noise give draws too. See docs/uncertainty.md.
    input_encoding : {"auto", "scale", "piecewise"} or None, default="auto"
        What happens to the columns of `X` inside the estimator. "scale": numbers are centred by the
        median, divided by the interquartile range and clipped smoothly, missing values and
        categories have inputs of their own; "piecewise": the same, and a piecewise-linear encoding
        of numbers. "auto" is "piecewise" for the regressor, and for the classifier from 2,000 rows
        on, unless there are more than 200 columns, and else "scale"; columns of a sparse matrix,
        and numbers without gaps that `partial_fit` is given first, go as they come. None takes all
        columns as they come. See `skdropout.preprocessing.TableEncoder`.
    categorical_features : "from_dtype", array-like of bool, int or str, or None, \
default="from_dtype"
        Columns of `X` that are categories: in a DataFrame those of categorical dtype, text and
        booleans; or a mask, indices or names.
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
        200, or ``n_samples // 100`` if that is more.
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
    max_iter : int, default=200
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
    cv : int, splitter, iterable or None, default=5
        Cross-fitted members: one network for each fold, trained side by side without the rows of
        the fold, on which it stops and on which the model is calibrated. A prediction averages
        over all, so no row is lost. An int makes folds (of classes each its share, or of whole
        `groups`), fewer in a small table and none in one of less than eight rows. A splitter of
        scikit-learn or an iterable of (train, held out) makes others. None trains one network on
        all rows. `partial_fit` does so too, and so do candidates of the batched searches.
    early_stopping : bool, default=True
        Stop each network by the log-likelihood of rows that it is not trained on, and restore the
        weights of its best epoch: its fold, `X_val`, or with ``cv=None`` a part that is held out.
        scikit-learn's MLP watches the accuracy or R^2 instead. False: until the training loss
        gains no more.
    validation_fraction : float, default=0.1
        Share of the rows that `early_stopping` holds out with ``cv=None``.
    beta_1 : float, default=0.9
        Decay of Adam's mean of gradients, in [0, 1).
    beta_2 : float, default=0.95
        Decay of Adam's mean of squared gradients, in [0, 1).
    epsilon : float, default=1e-8
        Keeps Adam from dividing by zero.
    n_iter_no_change : int or inf, default=10
        Epochs without an improvement of `tol` after which training stops.
    calibrate : bool, default=True
        Multiply every standard deviation by one factor for each output, with which 90 %
        intervals hold 90 % of the rows that a network was not trained on: the folds of `cv`, or
        what `early_stopping` holds out. No network is trained for it. Counts are not calibrated.
    store_oof : bool, default=False
        Keep what members say about the training rows that they have not seen, in `oof_mean_` and
        `oof_std_`.
    device : str, default="auto"
        "cpu", "cuda" or another device of torch's. "auto" takes a GPU only where there is one and
        the network is large enough to gain from it.
    callbacks : list of skorch callbacks or None, default=None
        For people who know skorch. Copies of them take part in the training. Which work, and how,
        is in docs/callbacks.md.
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
        Lowest of `loss_curve_`. None where held-out rows were watched.
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
    n_folds_ : int
        Folds that members were cross-fitted on, see `cv`. 0: all networks had the same rows.
    oof_mean_, oof_std_ : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Mean and standard deviation of a new observation for the rows of `X`, from members that
        were not trained on them, calibrated; NaN for rows that no member was kept from. Only with
        ``store_oof=True``.
    calibration_ : dict or None
        What `calibrate` did: "method" ("out-of-fold" or "held-out part"), "n_rows", "scale" (one
        factor for each output), and mean log density and interval coverage of those rows,
        "log_prob_before", "log_prob_after", "coverage_before" and "coverage_after" (by level).
        None without it, and where fewer than ten rows are held out.
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

    Single cells of several columns of `y` may be missing (NaN). A row teaches what it knows: its
    loss is the sum over the cells that it has.

    A column of `y` that is constant is not learned. It is predicted as its value, with a warning
    and a noise of standard deviation 0.001, or that of its count.

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
    dropout_rate: Any = 0.1
    alpha: float = 0.02
    beta_2: float = 0.95
    learning_rate: str = "cooldown"
    learning_rate_init: float = 0.003
    loss: str = "squared_error"
    max_iter: int = 200
    noise: str = "homoscedastic"
    normalize_y: bool = True

    _parameter_constraints: ClassVar[dict] = {
        **DropoutMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
        "noise": [StrOptions({"homoscedastic", "heteroscedastic"})],
        "normalize_y": ["boolean"],
    }

    _numeric_target = True

    def __sklearn_tags__(self) -> Tags:
        tags = self._with_input_tags(super().__sklearn_tags__())
        tags.target_tags.multi_output = True
        return tags

    @staticmethod
    def _auto_batch_size(n_rows: int) -> int:
        # Twenty steps an epoch in batches of 16 to 200 rows, then a hundred at most.
        return min(max(n_rows // 20, 16), max(200, n_rows // 100), n_rows)

    @staticmethod
    def _auto_encoding(n_rows: int, n_columns: int) -> str:
        # Of so many columns the knots take too long.
        return "piecewise" if n_columns <= 200 else "scale"

    # ---- fit -----------------------------------------------------------------------------

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> DropoutMLPRegressor:
        """Train for one pass over the given rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The first call's targets set the scale of all later ones, so each column needs a value
            there. Otherwise single cells of several columns may be missing, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Factor on each row's loss. What one row weighs against another counts as in `fit`. The
            mean weight of the call's rows says how far the call moves the network: 20 is the same
            as 20 calls (and takes their time; 100 are made at most), 0.25 moves everything by a
            quarter of what one call does, 1e-6 by next to nothing, and ones are the same as no
            weights.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            As `fit`, and if a column of `y` was constant in the first call and is not any more.
            A later call may have no value of a column: it teaches nothing of it.
        """
        return self._partial_fit(X, y, sample_weight, None)

    def _checked_target(self, y: np.ndarray, reset: bool) -> np.ndarray:
        if y.ndim == 2 and y.shape[1] == 1:
            y = one_column(y)
        if not reset and (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(
                f"{type(self).__name__}: y has shape {y.shape}, but the model was fitted to "
                f"{self.n_outputs_} outputs"
            )
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(
                f"{type(self).__name__}: loss='poisson' needs y that is zero or positive, got "
                f"{np.nanmin(y):.6g}"
            )
        return y

    def _total_weight(
        self, y: np.ndarray, weight: np.ndarray | None, classes: Any, again: bool
    ) -> np.ndarray | None:
        return weight

    def _check_again(self, y: np.ndarray, classes: Any) -> None:
        self._target.check_again(y, type(self).__name__)

    def _read_target(self, y: np.ndarray, weight: np.ndarray | None, classes: Any) -> NumericTarget:
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
        varying = TargetColumns.of(columns)
        self._warn_of_constants(varying, y.ndim)
        columns = varying.select(columns)
        mean = column_means(columns, weight)
        if self.loss == "poisson":
            return Counts(y.ndim, varying, np.where(mean > 0, mean, SMALLEST_VARIANCE))
        centre, scale = np.zeros(len(mean)), np.ones(len(mean))
        if self.normalize_y:
            variance = column_means((columns - mean) ** 2, weight)
            centre, scale = mean, np.where(variance > 0, np.sqrt(variance), 1.0)
        varies, cooldown = self.noise == "heteroscedastic", self.learning_rate == "cooldown"
        return RealNumbers(y.ndim, varying, centre, scale, varies, cooldown)

    def _warn_of_constants(self, columns: TargetColumns, n_dimensions: int) -> None:
        for column in np.flatnonzero(columns.constant):
            where = "y" if n_dimensions == 1 else f"column {column} of y"
            warn(
                f"{type(self).__name__}: {where} is constant ({columns.values[column]:.6g}) "
                "and is predicted as this value for all X"
            )

    @property
    def noise_std_(self) -> Any:
        """Standard deviation of the observation noise, in the units of y."""
        likelihood = self.net_.criterion_
        if isinstance(likelihood, PoissonLikelihood):
            raise AttributeError(
                f"{type(self).__name__}.noise_std_: with loss='poisson' the noise of a count "
                "follows from its mean; see predict_uncertainty(X).aleatoric"
            )
        variance = likelihood.variance[:, 0].mean(0).cpu().double().numpy()
        std = self._target.noise_std(variance, self.calibration_)
        return float(std[0]) if self._target.n_dimensions == 1 else std

    # ---- prediction ----------------------------------------------------------------------

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean of the predictive distribution, and its standard deviation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Also return the standard deviation of a new observation: what the draws disagree about
            and the observation noise of the row together, calibrated.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of y.
        std : ndarray of the same shape
            Only with ``return_std=True``. In the units of y.

        Raises
        ------
        ValueError
            If ``return_std=True`` is asked of a model without noise and with one member, or
            with ``n_draws=0``.
        """
        if return_std:
            (uncertainty,) = self._uncertainty(X, "predict(return_std=True)")
            return uncertainty.mean, np.sqrt(uncertainty.total)
        return self._asked(X, None, lambda mixture: (mixture.mean(),))

    def predict_quantiles(self, X: Any, quantiles: Any) -> np.ndarray:
        """Quantiles of the predictive distribution, the mixture over the draws.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        quantiles : array-like of shape (n_quantiles,)
            Probabilities in (0, 1), increasing.

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles)
            In the units of y, increasing along the last axis.

        Raises
        ------
        ValueError
            For quantiles out of range or not increasing, and for a model without noise and
            with one member or with ``n_draws=0``.
        """
        probabilities = checked_quantiles(f"{type(self).__name__}.predict_quantiles", quantiles)
        return self._quantiles(X, probabilities, "predict_quantiles")

    def predict_interval(self, X: Any, confidence_level: Any = 0.9) -> np.ndarray:
        """Central interval that holds a new observation with a given probability.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        confidence_level : float or array-like of shape (n_levels,), default=0.9
            Probability of the interval, in (0, 1).

        Returns
        -------
        ndarray of shape (n_samples, 2) or (n_samples, 2, n_levels)
            Lower and upper ends, in the units of y. With several outputs the shape is
            (n_samples, n_outputs, 2) or (n_samples, n_outputs, 2, n_levels).

        Raises
        ------
        ValueError
            For a level out of range, and for a model without noise and with one member or with
            ``n_draws=0``.
        """
        levels = checked_levels(f"{type(self).__name__}.predict_interval", confidence_level)
        return as_intervals(self._quantiles(X, tails(levels), "predict_interval"), levels)

    def sample_y(self, X: Any, n_samples: int = 1, random_state: Any = 0) -> np.ndarray:
        """New observations from the predictive distribution.

        Each sample is one function from the posterior plus observation noise.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Observations per row.
        random_state : int, RandomState instance or None, default=0
            None draws differently in each call.

        Returns
        -------
        ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)
            In the units of y.
        """
        x = self._check_x(X)
        rng = local_random_state(random_state)
        functions, turns = sampled_functions(self, "sample_y", n_samples, rng)
        (means,) = self._over_rows(x, functions_of(self), lambda mixture: (mixture.mean(),))

        def observe(outputs: list[Any], mean: np.ndarray) -> tuple[np.ndarray]:
            likelihood, calibration = self.net_.criterion_, self.calibration_
            mixture = self._target.predictive(outputs, likelihood, calibration, mean)
            return (np.moveaxis(mixture.take(turns).sample(rng), 0, -1),)

        return self._shaped(reduce(functions, x, observe, means)[0])

    def crps(self, X: Any, y: Any) -> np.ndarray:
        """Continuous ranked probability score of each row's true target.

        The squared distance between the predictive distribution function and the step at the
        target, integrated; for a prediction without spread the absolute error. Exact for the
        mixture over the draws, so its time grows with the square of `n_draws`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets. Of several columns single cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of y; the smaller, the better. NaN where the target is missing.

        References
        ----------
        Gneiting and Raftery (2007). Strictly proper scoring rules, prediction, and estimation.
        Journal of the American Statistical Association 102.
        """
        return self._shaped(self._scored(X, y, lambda mixture, part: (mixture.crps(part),)))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R^2 of the mean, as of every regressor of scikit-learn.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets. Of several columns single cells may be missing.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            With several columns the plain mean of their R^2, each over the rows in which the
            column has a value. A column with gaps and fewer than two values is left out.
        """
        filled, gaps = split_gaps(y)
        if gaps is None:
            return super().score(X, y, sample_weight)
        name = type(self).__name__
        return r2_of_columns(filled, gaps, self.predict(X), sample_weight, name)

    def _quantiles(self, X: Any, probabilities: np.ndarray, method: str) -> np.ndarray:
        return self._asked(X, method, lambda mixture: (mixture.quantiles(probabilities),))

    def _asked(self, X: Any, method: str | None, ask: Callable[[Mixture], tuple]) -> np.ndarray:
        """One answer of the predictive distribution of all rows."""
        x = self._check_x(X)
        return self._shaped(self._over_rows(x, functions_of(self, method), ask)[0])

    def _measures(self) -> frozenset[str]:
        return frozenset({"variance"})

    def _scored_target(self, y: np.ndarray) -> np.ndarray:
        return y.reshape(len(y), -1).astype(np.float64)

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return self._target.shaped(values)

    def _column_names(self) -> None:
        return None
