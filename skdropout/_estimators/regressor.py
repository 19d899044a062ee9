"""`DropoutMLPRegressor`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from sklearn.utils import Tags

from .._support.sklearn import StrOptions
from .mlp import DropoutMLP
from .number_answers import NumberAnswers


@dataclass(eq=False, repr=False)
class DropoutMLPRegressor(NumberAnswers, DropoutMLP):
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
    input_encoding : {"auto", "scale", "piecewise", "cumulative"} or None, default="auto"
        What happens to the columns of `X` inside the estimator. "scale": numbers are centred by the
        median, divided by the interquartile range and clipped smoothly, missing values and
        categories have inputs of their own; "piecewise": the same, and piecewise-linear functions
        of numbers that are one at a knot each; "cumulative": those that rise between two knots.
        "auto" is "cumulative" from 2,000 rows on, with fewer "piecewise" for the regressor and
        "scale" for the classifier; "piecewise" if "cumulative" made more than 50 million numbers,
        and "scale" with more than 200 columns; columns of a sparse matrix, and numbers without gaps
        that `partial_fit` is given first, go as they come. None takes all columns as they come. See
        `skdropout.preprocessing.TableEncoder`.
    categorical_features : "from_dtype", array-like of bool, int or str, or None, \
default="from_dtype"
        Columns of `X` that are categories: in a DataFrame those of categorical dtype, text and
        booleans; or a mask, indices or names.
    learn_input_scale : bool, default=True
        Train the weights of each input of the network as a vector times a number, both of which
        ``solver="adam"`` moves (Holzmüller et al. 2024): inputs that help count more after few
        epochs, and others fade. Only training is another, not the network. Left out of it are
        ``dropout="variational"``, and sparse matrices with a million weights or more.
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
        With folds, errors count as small as those of the mean of all networks are likely to be.
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

    Holzmüller, Grinsztajn and Steinwart (2024). Better by default: strong pre-tuned MLPs and
    boosted trees on tabular data. NeurIPS.

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

    # More brought nothing and took longer (docs/tables.md).
    _cumulative_knots: ClassVar[int] = 17
    _parameter_constraints: ClassVar[dict] = {
        **DropoutMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
        "noise": [StrOptions({"homoscedastic", "heteroscedastic"})],
        "normalize_y": ["boolean"],
    }

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
        if n_columns > 200:
            return "scale"
        return "cumulative" if n_rows >= 2000 else "piecewise"
