"""`DropoutModuleRegressor`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, cast

import numpy as np
from sklearn.utils import Tags

from .._likelihoods.base import Likelihood
from .._likelihoods.gaussian import GaussianLikelihood
from .._likelihoods.log_variance import LogVarianceLikelihood
from .._likelihoods.normal import SMALLEST_VARIANCE
from .._modules.drawn import Readout
from .._predictive.needed_draws import fixed_draws
from .._predictive.target_columns import TargetColumns
from .._training.rows import Rows
from .module_base import DropoutModule
from .module_parameters import takes_module_parameters
from .number_answers import NumberAnswers
from .numbers import RealNumbers
from .regressor import DropoutMLPRegressor
from .trained import hold, learn_noise


@takes_module_parameters
@dataclass(eq=False, repr=False)
class DropoutModuleRegressor(NumberAnswers, DropoutModule):
    """A torch module with dropout as a regressor that says how sure it is.

    Any network of one's own, for rows of any shape, gets the methods of `DropoutMLPRegressor`: its
    dropout stays on at prediction, `n_draws` fixed functions answer, their mean is the prediction
    and what they disagree about is what the model does not know.

    Parameters
    ----------
    module : Module, class or callable
        A class of `torch.nn.Module`, or a function that returns one, is called for each network; it
        is given `input_shape` and `n_outputs` if it takes them. An instance is copied for each
        network and its layers start anew, but for frozen ones and if one of them has no
        `reset_parameters`. It takes rows ``(n, ...)`` and returns raw outputs ``(n, n_outputs)``:
        a mean for each column of `y`, or the means and then, for each, how noisy it is.
    n_draws : int or "auto", default=100
        Functions that are drawn for prediction, in all, evenly from the networks of the model (one
        of each at least). 0 is the weight-scaling rule: networks without noise, no uncertainty
        from draws. "auto" draws for each row 100, 200, 400, 800 or at most 1,600, until the
        standard errors of its mean and of its epistemic standard deviation are at most 2.5 % of
        its total standard deviation. Every method that averages over draws does so. Read at
        prediction, so ``set_params(n_draws=1000)`` needs no refit.
    inference : {"draws"}, default="draws"
        How the distribution over all draws is found. ``"moments"`` has no formula for a module and
        is refused.
    n_members : int, default=1
        Networks from different starts, a deep ensemble; with `cv` so many for each fold. A
        prediction averages over the draws of all of them.
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
        Cross-fitted members: one network for each fold, trained without the rows of the fold, on
        which it stops and on which the model is calibrated. A prediction averages over all, so no
        row is lost. An int makes folds (of classes each its share, or of whole `groups`), fewer in
        a small table and none in one of less than eight rows. A splitter of scikit-learn or an
        iterable of (train, held out) makes others. None trains one network on all rows.
        `partial_fit` does so too.
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
    n_iter_no_change : int or inf, default=20
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
        negative, and `normalize_y` does not apply.
    normalize_y : bool, default=True
        Train on targets of mean zero and variance one, as in `GaussianProcessRegressor`. Every
        result is in the units of y either way.
    **module_parameters : dict
        ``module__name``: argument `name` of the class or function. They are parameters of the
        estimator, so ``module__dropout_rate`` can be searched.

    Attributes
    ----------
    input_shape_ : tuple of int
        Of one row.
    n_features_in_ : int
        Its first entry.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where `X` has names that are all strings.
    n_outputs_ : int
        Columns of `y`.
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
        Rate of each dropout that the module calls, in the order of the calls. Learned rates are
        means over the networks.
    dropout_rates_curve_ : ndarray of shape (n_epochs, len(dropout_rates_))
        `dropout_rates_` after each epoch.
    noise_std_ : float or ndarray of shape (n_outputs_,)
        Learned standard deviation of the observation noise, in the units of y. A float if `y` had
        one dimension. The root of the noise variance's mean over the members and, with
        noise of each row, over the training rows. Not there with ``loss="poisson"``.
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
        With folds, errors count as small as those of the mean of all networks are likely to be.
        None without it, and where fewer than ten rows are held out.
    net_ : ModuleNets
        The trained skorch nets: ``net_.nets[k].module_`` is the module of a network,
        ``net_.nets[k].history`` what each epoch recorded.

    See Also
    --------
    DropoutMLPRegressor : Networks whose layers are made for a table.
    skdropout.nn : Modules for networks of one's own.
    skdropout.predict_uncertainty : Uncertainty through pipelines and searches.

    Notes
    -----
    A fitted model is a fixed set of functions. In a draw every dropout of the module
    (`torch.nn.Dropout`, `Dropout1d` to `Dropout3d`, `AlphaDropout`, `FeatureAlphaDropout`,
    `skdropout.nn.GaussianDropout`, `ConcreteDropout`, and torch's functions in `forward`) has one
    mask for all rows, which follows from `random_state`; everything else is in evaluation mode. A
    module in which none is found, or that drops otherwise for some rows, is refused. See
    docs/own-networks.md.

    With one output for each column of `y` the noise is one standard deviation for each. With two it
    is predicted for each row: the second is the logarithm of the variance over a common scale,
    within +-3, as with ``noise="heteroscedastic"`` of `DropoutMLPRegressor`.

    Networks train in float32; prediction computes in the dtype of `X`, float64 or float32, if the
    module can. Scale the inputs first, as for any network.

    References
    ----------
    Gal and Ghahramani (2016). Dropout as a Bayesian approximation: representing model uncertainty
    in deep learning. ICML.

    Gal and Ghahramani (2016). Bayesian convolutional neural networks with Bernoulli approximate
    variational inference. ICLR workshop.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from torch import nn
    >>> from skdropout import DropoutModuleRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X = X / X.std(0)
    >>> network = nn.Sequential(nn.Linear(10, 30), nn.ReLU(), nn.Dropout(0.1), nn.Linear(30, 1))
    >>> model = DropoutModuleRegressor(network, cv=None, tol=0.01, random_state=0)
    >>> model = model.fit(X[:350], y[:350])
    >>> mean, std = model.predict(X[350:], return_std=True)
    >>> mean.shape, std.shape
    ((92,), (92,))
    """

    _: KW_ONLY
    alpha: float = DropoutMLPRegressor.alpha
    beta_2: float = DropoutMLPRegressor.beta_2
    learning_rate: str = DropoutMLPRegressor.learning_rate
    learning_rate_init: float = DropoutMLPRegressor.learning_rate_init
    loss: str = "squared_error"
    normalize_y: bool = True

    _parameter_constraints: ClassVar[dict] = {
        **DropoutModule._parameter_constraints,
        "loss": DropoutMLPRegressor._parameter_constraints["loss"],
        "normalize_y": ["boolean"],
    }

    _auto_batch_size = staticmethod(DropoutMLPRegressor._auto_batch_size)
    # Until the module's outputs are known, which say whether it is another.
    noise = "homoscedastic"
    # Of a module that was trained elsewhere, if it was given.
    _noise_std = cast("float | None", None)

    def __sklearn_tags__(self) -> Tags:
        tags = self._with_input_tags(super().__sklearn_tags__())
        tags.target_tags.multi_output = True
        return tags

    @classmethod
    def from_trained(
        cls,
        module: Any,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        *,
        n_outputs: int = 1,
        noise_std: float | None = None,
        **params: Any,
    ) -> DropoutModuleRegressor:
        """A fitted regressor from a module that was trained elsewhere.

        It predicts and refers at once. The module is copied, and seen first when there are rows.

        Parameters
        ----------
        module : Module
            An instance whose outputs are means in the units of y; or the means, and then the
            logarithms of the variances of the noise.
        X_val : array-like of shape (n_val, ...), default=None
            Rows that the module was not trained on, for the noise and for calibration.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.
        n_outputs : int, default=1
            Columns of y, if `y_val` does not show them.
        noise_std : float, default=None
            Standard deviation of the noise. None finds it on `X_val`. Without these, and without
            variances of the module's own, there is none: uncertainty is epistemic then.
        **params : dict
            Parameters of the estimator.

        Returns
        -------
        estimator : DropoutModuleRegressor

        Raises
        ------
        ValueError
            If the module is no instance, or has no fixed functions.
        """
        shape = (n_outputs,) if y_val is None else np.shape(y_val)[1:]
        n_columns = int(np.prod(shape, dtype=int))
        if noise_std is not None and not noise_std > 0:
            raise ValueError(
                f"{cls.__name__}.from_trained: noise_std must be positive or None, got "
                f"{noise_std!r}"
            )
        columns = TargetColumns(np.zeros(n_columns, dtype=bool), np.zeros(n_columns))
        n_dimensions = 2 if n_columns > 1 else 1
        zeros, ones = np.zeros(n_columns), np.ones(n_columns)
        target = RealNumbers(n_dimensions, columns, zeros, ones, False, False)
        model = cls(module, **params)
        model._noise_std = noise_std
        return hold(model, target, X_val, y_val, sample_weight_val)

    def _trained_likelihood(self, target: Any) -> Likelihood:
        n_columns = len(target.mean)
        if target.heteroscedastic:
            return LogVarianceLikelihood(1, n_columns)
        likelihood = GaussianLikelihood(1, n_columns)
        std = 0.0 if self._noise_std is None else self._noise_std
        likelihood.variance.fill_(max(std**2, SMALLEST_VARIANCE))
        return likelihood

    def _in_order(self, readout: Readout, width: int) -> Readout:
        return readout

    def _learn_noise(self, rows: Rows) -> None:
        if self._noise_std is None:
            learn_noise(self.net_, rows, fixed_draws(self.n_draws))
