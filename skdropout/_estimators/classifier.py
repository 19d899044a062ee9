"""`DropoutMLPClassifier`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from sklearn.utils import ClassifierTags, Tags

from .._support.sklearn import StrOptions
from .class_answers import ClassAnswers
from .mlp import DropoutMLP


@dataclass(eq=False, repr=False)
class DropoutMLPClassifier(ClassAnswers, DropoutMLP):
    """A multi-layer perceptron classifier with dropout that says how sure it is.

    It takes the place of scikit-learn's `MLPClassifier`. Dropout stays on at prediction: `n_draws`
    thinned networks answer, their mean is the prediction and what they disagree about is what the
    model does not know.

    `y` holds one label per row, or several: a column of 0 and 1 for each label. Uncertainty and
    probabilities are then of each label for itself, and single labels of a row may be missing.

    Parameters
    ----------
    hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(100,)
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
    dropout_rate : float or array-like of shape (n_layers - 2,), default=0.3
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
    alpha : float, default=0.0001
        Strength of the penalty on the weights. As in scikit-learn's MLP it is divided by the rows
        of a batch and biases are free of it.
    l1_ratio : float, default=0.0
        Share of the L1 norm in the penalty, as in `ElasticNet`. 0 is scikit-learn's L2 penalty.
    batch_size : int or "auto", default="auto"
        Rows per step of the optimizer. "auto" is ``min(200, n_samples)``.
    learning_rate : {"constant", "invscaling", "adaptive", "cooldown"}, default="constant"
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
    beta_2 : float, default=0.999
        Decay of Adam's mean of squared gradients, in [0, 1).
    epsilon : float, default=1e-8
        Keeps Adam from dividing by zero.
    n_iter_no_change : int or inf, default=20
        Epochs without an improvement of `tol` after which training stops.
    calibrate : bool, default=True
        Divide the logits of every draw by one temperature, the most likely one on rows that a
        network was not trained on: the folds of `cv`, or what `early_stopping` holds out. No
        network is trained for it.
    store_oof : bool, default=False
        Keep what members say about the training rows that they have not seen, in `oof_proba_`.
    device : str, default="auto"
        "cpu", "cuda" or another device of torch's. "auto" takes a GPU only where there is one and
        the network is large enough to gain from it.
    callbacks : list of skorch callbacks or None, default=None
        For people who know skorch. Copies of them take part in the training. Which work, and how,
        is in docs/callbacks.md.
    class_weight : dict, "balanced" or None, default=None
        Factor on the loss of each class's rows. "balanced" weighs classes by the inverse of how
        often they occur, which `partial_fit` cannot know and refuses. With several labels per row
        it must be None.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; with several labels per row the numbers of their columns. The columns
        of all probabilities are in this order.
    n_features_in_ : int
        Columns of `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where `X` has names that are all strings.
    n_outputs_ : int
        Outputs of the network: 1 for two classes, otherwise one per class, or per label.
    n_layers_ : int
        Layers, with the inputs and the outputs.
    n_iter_ : int
        Epochs of the last `fit`, or of all calls of `partial_fit`.
    loss_ : float
        Loss of the last epoch: the mean negative log-likelihood of the training rows under fresh
        noise, in nats per row, plus the KL and the penalty.
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
        "logistic" for two classes and for several labels per row, otherwise "softmax".
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
    n_folds_ : int
        Folds that members were cross-fitted on, see `cv`. 0: all networks had the same rows.
    oof_proba_ : ndarray of shape (n_samples, n_classes)
        Probabilities for the rows of `X` from members that were not trained on them, calibrated;
        NaN for rows that no member was kept from. Only with ``store_oof=True``.
    calibration_ : dict or None
        What `calibrate` did: "method" ("out-of-fold" or "held-out part"), "n_rows", "temperature",
        and mean log probability and expected calibration error of those rows,
        "log_prob_before", "log_prob_after", "ece_before" and "ece_after"; of several labels per
        row the log probability of all of a row's together and the error over all of them one by
        one. None without it, and where fewer than ten rows are held out.
    net_ : DropoutNet
        The trained skorch net: ``net_.module_`` is the stack of networks, ``net_.history`` what
        each epoch recorded.

    See Also
    --------
    skdropout.predict_uncertainty : Uncertainty through pipelines and searches.
    DropoutMLPRegressor : The same for numbers instead of classes.
    sklearn.neural_network.MLPClassifier : The same network without dropout.

    Notes
    -----
    A fitted model is a fixed set of functions. Each draw is one network, the same for every row,
    so what a row gets depends neither on the rows beside it nor on how often it is asked.

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

    Depeweg, Hernandez-Lobato, Doshi-Velez and Udluft (2018). Decomposition of uncertainty in
    Bayesian deep learning for efficient and risk-sensitive learning. ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skdropout import DropoutMLPClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> model = DropoutMLPClassifier(dropout_rate=0.2, early_stopping=True, random_state=0)
    >>> model = model.fit(X[:400], y[:400])
    >>> model.score(X[400:], y[400:]) > 0.9
    True
    >>> proba, std = model.predict_proba(X[400:], return_std=True)
    >>> proba.shape, std.shape
    ((169, 2), (169, 2))
    >>> uncertainty = model.predict_uncertainty(X[400:])
    >>> uncertainty.epistemic.shape
    (169,)
    """

    _: KW_ONLY
    learning_rate_init: float = 0.003
    max_iter: int = 400
    class_weight: Any = None

    # Thresholds in the tails decide classes; numbers gained nothing by more knots (docs/tables.md).
    _cumulative_knots: ClassVar[int] = 33
    _parameter_constraints: ClassVar[dict] = {
        **DropoutMLP._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    @staticmethod
    def _auto_batch_size(n_rows: int) -> int:
        return min(200, n_rows)

    @staticmethod
    def _auto_encoding(n_rows: int, n_columns: int) -> str:
        # Of few rows a network learns the knots by heart; of many columns they take too long.
        return "cumulative" if n_rows >= 2000 and n_columns <= 200 else "scale"

    def __sklearn_tags__(self) -> Tags:
        tags = self._with_input_tags(super().__sklearn_tags__())
        tags.classifier_tags = ClassifierTags(multi_label=True)
        return tags
