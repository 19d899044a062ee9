"""What is found in a module, and which modules have no fixed functions."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skdropout._modules.layout import layout_of
from skdropout._modules.watching import ModuleRefusedError
from tests.module_reference import network

ROWS = torch.linspace(-1, 1, 30).view(5, 6)


class Forward(nn.Module):
    """A linear map, and what a test does with its outputs."""

    def __init__(self, then):
        super().__init__()
        self.linear, self.then = nn.Linear(6, 4), then

    def forward(self, x):
        return self.then(self, self.linear(x))


class Attention(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(2, 1, batch_first=True, **options)

    def forward(self, x):
        x = x.view(-1, 3, 2)
        return F.dropout(self.attention(x, x, x)[0], training=self.training).flatten(1)


def scaled_attention(self, x):
    x = x.view(-1, 2, 2)
    rate = 0.1 if self.training else 0.0
    return F.dropout(F.scaled_dot_product_attention(x, x, x, dropout_p=rate), 0.5, self.training)


def by_length(self, x):
    """Drops what is not padding: another number of units in each row."""
    return torch.stack([F.dropout(row[: 1 + int(row[0] > 0)]).sum().view(1) for row in x])


REFUSED = {
    "no dropout": (nn.Linear(6, 2), "no dropout is found in it; put in torch.nn.Dropout"),
    "of its own": (
        Forward(lambda self, x: x * torch.bernoulli(x.sigmoid()) if self.training else x),
        r"draws random numbers itself \(bernoulli in forward \(Forward\)\)",
    ),
    "in training only": (
        Forward(lambda self, x: F.dropout(x) if self.training else x),
        r"calls dropout in training only.*training=self\.training",
    ),
    "random in evaluation": (
        Forward(lambda self, x: F.dropout(x + torch.randn_like(x), training=self.training)),
        "draws random numbers in evaluation mode",
    ),
    "recurrent": (
        nn.Sequential(nn.LSTM(6, 2, num_layers=2, dropout=0.1)),
        r"0 \(LSTM\) drops between its layers \(dropout=0\.1\)",
    ),
    "attention": (
        Attention(dropout=0.1),
        r"attention \(MultiheadAttention\) drops attention weights.*masks depend on the row",
    ),
    "scaled attention": (
        Forward(lambda self, x: scaled_attention(self, x).flatten(1)),
        r"drops attention weights \(dropout_p=0\.1\)",
    ),
    "another axis first": (
        Forward(lambda self, x: F.dropout(x.T, training=self.training).T),
        "its first axis must be that of the rows",
    ),
    "row by row": (Forward(by_length), "its first axis must be that of the rows"),
    "more for some rows": (
        Forward(lambda self, x: F.dropout(x) if x.shape[0] > 1 else F.dropout(F.dropout(x))),
        "calls 2 dropouts for row 0 of the first rows and 1 for all of them",
    ),
    "mixes rows": (
        Forward(lambda self, x: F.dropout(x, training=self.training) - x.mean(0)),
        "depends on the rows beside it",
    ),
    "statistics of the batch": (
        nn.Sequential(nn.BatchNorm1d(6, track_running_stats=False), nn.Dropout(0.1)),
        r"Expected more than 1 value per channel.*one row alone, in evaluation mode",
    ),
    "other shape": (nn.Sequential(nn.Linear(5, 2), nn.Dropout()), r"rows of shape \(6,\), in 0"),
    "several outputs": (Forward(lambda self, x: (x, F.dropout(x))), "returned a tuple"),
    "images": (Forward(lambda self, x: F.dropout(x).view(-1, 2, 2)), r"one of shape \(5, 2, 2\)"),
    "not finite": (Forward(lambda self, x: F.dropout(x, training=False) / 0), "are not finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_module_without_fixed_functions_is_refused_with_a_sentence_that_says_where(name):
    module, sentence = REFUSED[name]
    with pytest.raises(ModuleRefusedError, match=sentence):
        layout_of(module, ROWS)


def test_a_compiled_module_is_refused():
    with warnings.catch_warnings():
        # Newer versions of torch say that there are better ways to compile.
        warnings.simplefilter("ignore")
        compiled = torch.jit.trace(nn.Sequential(nn.Linear(6, 2)), ROWS)
    with pytest.raises(ModuleRefusedError, match="is compiled, so its dropouts cannot be found"):
        layout_of(compiled, ROWS)


def test_dropouts_are_listed_in_the_order_of_the_calls_with_the_shapes_of_their_masks():
    module, rows = network("convnet")
    sites = layout_of(module, rows).sites
    assert [(site.where, site.shape, site.rate) for site in sites] == [
        ("convolutions.3 (Dropout)", (3, 3, 3), 0.25),
        ("convolutions.7 (Dropout)", (4, 1, 1), 0.25),
        ("layers.3 (Dropout)", (8,), 0.5),
    ]
    module, rows = network("spatial")
    assert [site.shape for site in layout_of(module, rows).sites] == [(4, 1, 1)]


def test_attention_without_dropout_of_its_weights_is_taken():
    assert [site.shape for site in layout_of(Attention(), ROWS).sites] == [(3, 2)]


def test_a_dropout_that_is_off_in_training_stays_off():
    module = Forward(lambda self, x: F.dropout(F.dropout(x, training=False), 0.3, self.training))
    assert [site.on for site in layout_of(module, ROWS).sites] == [False, True]


def test_a_rate_of_zero_is_no_noise_and_is_not_refused():
    layout = layout_of(nn.Sequential(nn.Linear(6, 2), nn.Dropout(0.0)), ROWS)
    assert len(layout.sites) == 1
    assert not layout.noisy


def test_an_embedding_is_given_integers():
    module = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Dropout(0.1), nn.Linear(6, 2))
    layout = layout_of(module, torch.tensor([[0.0, 4.0], [1.0, 2.0]]))
    assert layout.integers
    assert not layout_of(nn.Sequential(nn.Linear(6, 2), nn.Dropout()), ROWS.round()).integers


@pytest.mark.parametrize("width", [3, 4])
def test_normalization_right_after_a_dropout_is_complained_of(width):
    after = nn.Sequential(nn.Linear(6, width), nn.Dropout(0.1), nn.ReLU(), nn.LayerNorm(width))
    assert (
        "3 (LayerNorm) normalizes units right after a dropout" in layout_of(after, ROWS).complaint
    )
    before = nn.Sequential(
        nn.Linear(6, width), nn.LayerNorm(width), nn.Dropout(), nn.Linear(width, 2), nn.LayerNorm(2)
    )
    assert layout_of(before, ROWS).complaint is None


def test_a_transformer_that_normalizes_after_its_sums_is_not_complained_of():
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.1, batch_first=True)
    layer.self_attn.dropout = 0.0
    module = nn.Sequential(nn.Unflatten(1, (1, 6)), layer, nn.Flatten())
    layout = layout_of(module, ROWS)
    # In evaluation torch would take a faster way, without dropouts.
    assert [site.shape for site in layout.sites] == [(1, 6), (1, 8), (1, 6)]
    assert layout.complaint is None


def test_shortness_of_rows_and_probabilities_are_seen():
    softmax = nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.1), nn.Softmax(1))
    assert layout_of(softmax, ROWS[:1]).probabilities
    assert not layout_of(softmax[:2], ROWS[:1]).probabilities
