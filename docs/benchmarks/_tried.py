"""What the page of `distance.py` says of its figures, and what was tried before."""

TRIED = """\
These trials were made once, by hand, on the same gaps (one seed), the same sine (3 draws) and the
first 3 splits of each of the five tables; log density is the mean gain over the default. The
figures for a process that is fitted to networks that are trained already are of these networks;
the others are of networks that were trained for it.

| | variance ratio, geometric mean | sine, middle | log density |
| --- | ---: | ---: | ---: |
| default: five cross-fitted networks, dropout .1 | 1.7 | 1.2 | 0 |
| without dropout | 2.4 | 1.5 | -.161 |
| without dropout and `alpha` | 2.1 | 1.7 | -.212 |
| `activation="tanh"` | 1.7 | 0.7 | -.118 |
| Gaussian kernel on the last hidden units | 1.8 | 1.4 | +.002 |
| Gaussian kernel on the sums of the first hidden layer | 2.1 | 1.5 | +.001 |
| Gaussian kernel on all encoded columns, knots included | 3.4 | 1.3 | -.001 |
| Gaussian kernel on standardised columns | 7.9 | 3.9 | +.002 |
| the same, clipped smoothly | 7.8 | 8.1 | +.004 |
| the same, not scaled by calibration | 11.1 | not measured | +.017 |
| Matern kernel (3/2) on standardised columns | 6.8 | 4.1 | +.004 |
| Gaussian kernel, 128 features instead of 256 | 7.3 | 3.6 | +.002 |

What was built is the last but two, with one set of features for all networks instead of one for
each, and columns as the encoder scales them; the tables above are of that.

Read: what networks have made of the inputs has lost the gap, at any layer and with any members
that were tried, so a posterior of the last layer alone cannot bring it back: both ends of a gap
have been drawn together. Columns in which distance counts keep it, and then one closed form is
enough. Knots at quantiles do not: any two that are no neighbours are equally far apart.

Members that are free to disagree are not calibrated better, and they fit worse: they lose .16 to
.21 of log density on average, most on yacht (.45 and .73).

Two more ways were tried later, when fits waited for twenty epochs and learned the scale of their
inputs, beside the default and .5 of these days. *Last layer*: Bayesian linear regression
(`BayesianRidge`) on the last hidden units of each network, its variance added to the draws'.
*Randomised priors* (Osband, Aslanides and Cassirer 2018): to each of five networks a random network
of its own is added, before it is trained and when it predicts, of .3 or 1 standard deviation of y;
not calibrated after that. Ratio and 90 % intervals in the gaps, the sine (3 draws), and log density
and RMSE of the first 3 splits of each table less or through the default's:

| | ratio | above 1 | boston | concrete | energy | wine-red | yacht | sine | log density | RMSE |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| default | 1.4 | 14 of 15 | .91 | .71 | .29 | .92 | .77 | 1.5 | 0 | 1 |
| last layer | 1.4 | 14 of 15 | .92 | .72 | .30 | .92 | .78 | 1.6 | -.003 | 1 |
| `distance_awareness=0.5` | 8.6 | 15 of 15 | .92 | .71 | .52 | .91 | .92 | 4.4 | +.003 | 1 |
| randomised priors, .3 | 2.4 | 14 of 15 | .95 | .84 | .59 | .93 | .98 | 3.5 | -.200 | 1.10 |
| randomised priors, 1 | 3.4 | 14 of 15 | .99 | .95 | .73 | .95 | 1.00 | 8.8 | -.525 | 1.33 |

Randomised priors are what concrete and energy would need, and they cost too much where there are
rows: a network with few rows cannot undo what was added to it.

The process has features and a prior that are the same for all networks; features of each
network's own were tried for classes, and did a little better (.80 instead of .78 as the mean area
for the epistemic part of rows from elsewhere) for five times the memory and the cosines. For
classes the size of the functions was first that of a link at the base rates, `1 / (p (1 - p))`;
classes that are well apart have much steeper ones, and with the slope that the networks have over
all rows the mean area was .81 instead of .78, and .84 instead of .81 with `distance_awareness=3`.

A prior ten times as wide (`distance_awareness=10`) finds rows from elsewhere better still, and
costs calibration of regression: on boston 90 % intervals then held .80 of the rows outside the
gaps."""

VERDICT = """\
Read, of the run with 10 splits: with .5 and with 1 all 15 inputs are above 1, and the gaps, the
sine and the intervals inside the gaps of energy and yacht gain; wine-red does not, where inputs say
little and so does the process. Intervals in the gap hold at least .8 on three of five tables;
concrete's hold .71 to .75 with every setting. Predictions stay where they are, because the
functions of a member's draws are centred. Where there are rows, 90 % intervals are narrower by .00
to .02; log density, CRPS and log loss are not worse beyond two standard errors on any table (CRPS
of yacht by 1.7 and 1.8). Rows from elsewhere are found as well or better on every table but
ann-thyroid (by .01), and not as well as the distance itself finds them: .80 and .81 (mutual
information) against .87. Since networks learn the scale of their inputs they find them a little
less well by themselves: .78 instead of .79.

Before that, on the splits 10 to 19 with 1: CRPS of boston .007 ± .0035 worse, of concrete
.017 ± .004 better, log density nowhere beyond two standard errors. These times are of then too.
A fit takes .05 to .2 seconds longer, whatever the table: 1.04 to 1.1 times as long on the five
tables, up to 1.3 times where a classifier's fit takes a quarter of a second. 100 draws take one or
two milliseconds longer, 1.1 to 1.25 times."""
