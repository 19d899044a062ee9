"""`DropoutModuleClassifier`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import ClassifierTags, Tags

from .._likelihoods.base import Likelihood
from .._modules.drawn import Readout
from .class_answers import ClassAnswers
from .class_labels import ClassLabels
from .classifier import DropoutMLPClassifier
from .module_base import DropoutModule
from .module_parameters import takes_module_parameters
from .trained import hold


@takes_module_parameters
@dataclass(eq=False, repr=False)
class DropoutModuleClassifier(ClassAnswers, DropoutModule):
    """A torch module with dropout as a classifier that says how sure it is.

    Any network of one's own, for rows of any shape, gets the methods of `DropoutMLPClassifier`: its
    dropout stays on at prediction, `n_draws` fixed functions answer, their mean is the prediction
    and what they disagree about is what the model does not know.

    Parameters
    ----------
    module : Module, class or callable
        A class of `torch.nn.Module`, or a function that returns one, is called for each network; it
        is given `input_shape` and `n_outputs` if it takes them. An instance is copied for each
        network and its layers start anew, but for frozen ones and if one of them has no
        `reset_parameters`. It takes rows ``(n, ...)`` and returns raw outputs ``(n, n_outputs)``:
        logits, one for each class, or of two classes the log odds of the second alone; of several
        labels per row one each.
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
    **module_parameters : dict
        ``module__name``: argument `name` of the class or function. They are parameters of the
        estimator, so ``module__dropout_rate`` can be searched.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; with several labels per row the numbers of their columns. The columns
        of all probabilities are in this order.
    input_shape_ : tuple of int
        Of one row.
    n_features_in_ : int
        Its first entry.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where `X` has names that are all strings.
    n_outputs_ : int
        Outputs of the network: 1 for two classes, otherwise one per class, or per label.
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
        Rate of each dropout that the module calls, in the order of the calls. Learned rates are
        means over the networks.
    dropout_rates_curve_ : ndarray of shape (n_epochs, len(dropout_rates_))
        `dropout_rates_` after each epoch.
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
    net_ : ModuleNets
        The trained skorch nets: ``net_.nets[k].module_`` is the module of a network,
        ``net_.nets[k].history`` what each epoch recorded.

    See Also
    --------
    DropoutMLPClassifier : Networks whose layers are made for a table.
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
    >>> from sklearn.datasets import load_digits
    >>> from skdropout import DropoutModuleClassifier
    >>> from skdropout.nn import ConvNet
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.reshape(-1, 8, 8) / 16
    >>> model = DropoutModuleClassifier(
    ...     ConvNet, module__n_channels=(8, 16), cv=None, tol=0.01, random_state=0
    ... )
    >>> model = model.fit(X[:1000], y[:1000])
    >>> model.score(X[1000:], y[1000:]) > 0.85
    True
    >>> model.predict_uncertainty(X[1000:]).epistemic.shape
    (797,)
    """

    _: KW_ONLY
    learning_rate_init: float = DropoutMLPClassifier.learning_rate_init
    max_iter: int = DropoutMLPClassifier.max_iter
    class_weight: Any = None

    _parameter_constraints: ClassVar[dict] = {
        **DropoutModule._parameter_constraints,
        "class_weight": DropoutMLPClassifier._parameter_constraints["class_weight"],
    }

    _auto_batch_size = staticmethod(DropoutMLPClassifier._auto_batch_size)
    # The outputs of the classes, of a module that was trained elsewhere.
    _order = list[int]()

    def __sklearn_tags__(self) -> Tags:
        tags = self._with_input_tags(super().__sklearn_tags__())
        tags.classifier_tags = ClassifierTags(multi_label=True)
        return tags

    @classmethod
    def from_trained(
        cls,
        module: Any,
        classes: Any,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        **params: Any,
    ) -> DropoutModuleClassifier:
        """A fitted classifier from a module that was trained elsewhere.

        It predicts and refers at once. The module is copied, and seen first when there are rows.

        Parameters
        ----------
        module : Module
            An instance whose outputs are logits: one for each class, or of two classes the log
            odds of the second alone.
        classes : array-like of shape (n_classes,)
            Labels, in the order of the outputs.
        X_val : array-like of shape (n_val, ...), default=None
            Rows that the module was not trained on, for calibration.
        y_val : array-like of shape (n_val,), default=None
            Their labels.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.
        **params : dict
            Parameters of the estimator.

        Returns
        -------
        estimator : DropoutModuleClassifier

        Raises
        ------
        ValueError
            If the module is no instance, or has no fixed functions; for classes that are not
            different.
        """
        given = np.asarray(classes)
        known, order = np.unique(given, return_index=True)
        if given.ndim != 1 or len(known) < len(given) or len(known) < 2:
            raise ValueError(
                f"{cls.__name__}.from_trained: classes must be two different labels or more, one "
                f"for each output, got {classes!r:.200}"
            )
        model = cls(module, **params)
        model._order = order.tolist()
        return hold(model, ClassLabels(known, cls.__name__), X_val, y_val, sample_weight_val)

    def _trained_likelihood(self, target: Any) -> Likelihood:
        return target.likelihood(1)

    def _in_order(self, readout: Readout, width: int) -> Readout:
        if width == 1:
            return Readout(sign=-1.0 if self._order[0] else 1.0)
        return Readout(self._order, difference=readout.difference)
