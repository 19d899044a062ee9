"""Wide sparse rows: trained through a window of each batch's columns."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.model_selection import GridSearchCV, KFold
from skorch.callbacks import Callback
from torch import nn

from skdropout import DropoutMLPClassifier
from skdropout._training.window import Window, window_size
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import ESTIMATORS, QUICK, fitting_of, target

N_ROWS, N_COLUMNS, UNITS = 160, 16_500, 64
OPTIONS = {
    **QUICK,
    "hidden_layer_sizes": (UNITS,),
    "batch_size": 32,
    "max_iter": 3,
    "tol": 1e-4,
}
# Of a column without an entry in the batch nothing moves then, in a window or not.
DESCENT = {"solver": "sgd", "momentum": 0, "alpha": 0, "learning_rate_init": 0.05}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def texts():
    """Rows of 20 words; the last ones of 200, so that their batch needs a larger window."""
    rng = np.random.default_rng(0)
    lengths = np.repeat([20, 200], [N_ROWS - 16, 16])
    words = np.concatenate([rng.choice(N_COLUMNS, length, replace=False) for length in lengths])
    starts = np.concatenate([[0], lengths.cumsum()])
    X = sparse.csr_matrix((rng.uniform(0.5, 1, len(words)), words, starts), (N_ROWS, N_COLUMNS))
    y = X @ rng.standard_normal(N_COLUMNS)
    return X, (y > np.median(y)).astype(int)


def _size(model, X, y):
    fitting = fitting_of(model, X, y)
    return window_size(fitting.job.net().module, fitting.job.rows, model.batch_size)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("dropout", [None, "bernoulli", "gaussian"])
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_gradient_descent_is_the_same_in_a_window(
    texts, in_float64, estimator_class, dropout, normalization
):
    X, y = texts[0], target(estimator_class, texts[1])
    weight = np.random.default_rng(0).integers(1, 4, N_ROWS).astype(float)
    options = {**OPTIONS, **DESCENT, "dropout": dropout, "normalization": normalization}
    model = estimator_class(**options, n_members=2)
    assert _size(model, X, y) < N_COLUMNS / 4
    model.fit(X, y, weight)
    other = estimator_class(**options, n_members=2).fit(X.toarray(), y, weight)
    np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-9)
    for ours, theirs in zip(
        model.predict_uncertainty(X), other.predict_uncertainty(X.toarray()), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


def test_members_in_the_same_order_share_the_columns(texts, in_float64):
    X, y = texts
    options = {**OPTIONS, **DESCENT, "n_members": 2, "shuffle": False}
    model = DropoutMLPClassifier(**options).fit(X, y)
    other = DropoutMLPClassifier(**options).fit(X.toarray(), y)
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X.toarray()), rtol=1e-9)


class _Reference(nn.Module):
    """The network without noise in plain torch, whose first map has sparse gradients."""

    def __init__(self, stack):
        super().__init__()
        first, last = stack.linears
        self.words = nn.EmbeddingBag.from_pretrained(
            first.weight.detach()[0].clone(), freeze=False, mode="sum", sparse=True
        )
        self.bias = nn.Parameter(first.bias.detach()[0, 0].clone())
        self.last = nn.Linear(UNITS, 1).to(self.bias)
        self.last.weight.data, self.last.bias.data = (
            last.weight.detach()[0].T.clone(),
            last.bias.detach()[0, 0].clone(),
        )

    def forward(self, rows):
        columns, starts = (
            torch.from_numpy(v.astype(np.int64)) for v in (rows.indices, rows.indptr)
        )
        sums = self.words(columns, starts[:-1], per_sample_weights=torch.from_numpy(rows.data))
        return self.last(torch.relu(sums + self.bias))[:, 0]


@pytest.mark.parametrize("by_calls", [False, True])
def test_adam_lets_columns_without_an_entry_rest(texts, in_float64, by_calls):
    X, y = texts
    options = {**OPTIONS, "dropout": None, "alpha": 0, "shuffle": False, "epsilon": 1e-12}
    model = DropoutMLPClassifier(**options)
    reference = _Reference(fitting_of(model, X, y).job.net().module)
    others = [p for name, p in reference.named_parameters() if not name.startswith("words")]
    settings = {"lr": model.learning_rate_init, "eps": 1e-12}
    optimizers = [
        torch.optim.SparseAdam(reference.words.parameters(), **settings),
        torch.optim.Adam(others, **settings),
    ]
    for _ in range(3):
        for start in range(0, N_ROWS, 32):
            rows = slice(start, start + 32)
            loss = nn.functional.binary_cross_entropy_with_logits(
                reference(X[rows]), torch.from_numpy(y[rows]).double()
            )
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
    for _ in range(3 if by_calls else 0):
        # What the optimizer knows is kept between the calls.
        model.partial_fit(X, y)
    if not by_calls:
        model.fit(X, y)
    expected = reference(X).sigmoid().detach().numpy()
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], expected, rtol=1e-6)


def test_words_that_no_training_row_has_say_nothing(texts):
    X, y = texts
    model = DropoutMLPClassifier(**OPTIONS).fit(X, y)
    unseen = np.flatnonzero(np.asarray(X.sum(0)).ravel() == 0)[:5]
    new = sparse.csr_matrix((np.full(5, 9.0), unseen, [0, 5]), shape=(1, N_COLUMNS))
    empty = sparse.csr_matrix((1, N_COLUMNS))
    np.testing.assert_array_equal(model.predict_proba(new), model.predict_proba(empty))


def test_a_search_gives_what_each_of_its_networks_gives_alone(texts, in_float64):
    X, y = texts
    model = DropoutMLPClassifier(**OPTIONS, **DESCENT, dropout_rate=0.3)
    # Folds of unequal size, networks that stop apart.
    model.set_params(n_iter_no_change=1, max_iter=8, tol=0.02)
    grid, folds = {"learning_rate_init": [0.01, 0.2]}, KFold(3)
    options = {"cv": folds, "scoring": "neg_log_loss", "refit": False}
    batched = BatchedGridSearchCV(model, grid, **options).fit(X, y)
    alone = GridSearchCV(model, grid, **options).fit(X, y)
    np.testing.assert_allclose(
        batched.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], rtol=1e-7
    )


@pytest.mark.parametrize("early_stopping", [False, True])
def test_early_stopping_and_pickles(texts, early_stopping):
    X, y = texts
    options = {**OPTIONS, "early_stopping": early_stopping}
    model = DropoutMLPClassifier(**options, n_members=2).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    for fitted in (model, again):
        fitted.set_params(early_stopping=False).partial_fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    first = model.net_.module_.linears[0]
    assert first.weight.shape == (2, N_COLUMNS, UNITS)
    assert all(values.grad is None for values in model.net_.module_.parameters())


def test_who_ends_the_training_keeps_the_last_weights(texts, monkeypatch):
    look, calls = Window.look, []

    def interrupted(window, *args):
        calls.append(args)
        if len(calls) > 2 * N_ROWS / OPTIONS["batch_size"]:
            raise KeyboardInterrupt
        return look(window, *args)

    X, y = texts
    monkeypatch.setattr(Window, "look", interrupted)
    with pytest.warns(UserWarning, match="in epoch 3; the last weights so far are kept"):
        model = DropoutMLPClassifier(**OPTIONS).fit(X, y)
    monkeypatch.undo()
    expected = DropoutMLPClassifier(**{**OPTIONS, "max_iter": 2}).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))


class _Listener(Callback):
    def on_batch_end(self, net, **kwargs):
        self.n_columns = net.module_.linears[0].weight.grad.shape[1]


@pytest.mark.parametrize(
    ("options", "windowed"),
    [
        ({}, True),
        ({"dropout": "gaussian"}, True),
        ({"dropout": None, "input_dropout_rate": 0.5}, True),
        ({"input_dropout_rate": 0.1}, False),
        ({"dropout": "concrete"}, False),
        ({"dropout": "variational"}, False),
        ({"hidden_layer_sizes": (8,)}, False),
    ],
)
def test_where_there_is_a_window(texts, options, windowed):
    X, y = texts
    model = DropoutMLPClassifier(**{**OPTIONS, **options})
    assert (_size(model, X, y) is not None) == windowed
    assert _size(model, X.toarray(), y) is None
    assert _size(model, sparse.csr_matrix(X[:, :17_000].toarray() + 1), y) is None


def test_callbacks_that_listen_to_batches_see_all_gradients(texts):
    listener = _Listener()
    model = DropoutMLPClassifier(**OPTIONS, callbacks=[listener]).fit(*texts)
    assert dict(model.net_.callbacks_)["_Listener"].n_columns == N_COLUMNS
