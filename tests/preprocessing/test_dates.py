"""Dates and durations: days since 1970 and the calendar, in the column's own time zone."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skdropout.preprocessing import TableEncoder
from skdropout.preprocessing._cells import read
from skdropout.preprocessing._columns import Calendar

WHEN = pd.Series(
    pd.to_datetime(["1969-12-31 23:59", "2020-02-29 10:30", "2026-11-27 00:00", "2000-01-01 12:00"])
)


def dense(**options):
    return TableEncoder(min_frequency=None, sparse_output=False, **options)


def frame(when):
    return pd.DataFrame({"when": when})


def test_the_calendar_is_that_of_pandas():
    (cells,) = read(WHEN.to_numpy().reshape(-1, 1), "test", [False])
    seen = Calendar(None)(cells)
    np.testing.assert_array_equal(seen["_month"], WHEN.dt.month)
    np.testing.assert_array_equal(seen["_weekday"], WHEN.dt.day_of_week)
    np.testing.assert_array_equal(seen["_hour"], WHEN.dt.hour)
    days = (WHEN - pd.Timestamp(0)) / pd.Timedelta(days=1)
    np.testing.assert_allclose(seen["_days"], days, rtol=1e-15)


def test_names_say_unit_and_part():
    names = dense(encoding="scale").fit(frame(WHEN)).get_feature_names_out().tolist()
    assert names == [
        "when_days",
        *["when_month", "when_month_1", "when_month_2", "when_month_11", "when_month_12"],
        *["when_weekday", "when_weekday_2", "when_weekday_4", "when_weekday_5"],
        *["when_hour", "when_hour_0", "when_hour_10", "when_hour_12", "when_hour_23"],
    ]


def test_parts_that_never_differ_are_left_out():
    days = pd.to_datetime(["2020-01-01", "2021-01-06", "2020-01-15"])
    assert set(dense(encoding="scale").fit(frame(days)).get_feature_names_out()) == {"when_days"}


def test_hours_are_those_of_the_clock_where_the_column_lives():
    berlin = frame(WHEN.dt.tz_localize("Europe/Berlin"))
    encoder = dense().fit(berlin)
    hours = [name for name in encoder.get_feature_names_out() if name.startswith("when_hour_")]
    assert hours == ["when_hour_0", "when_hour_10", "when_hour_12", "when_hour_23"]
    tokyo = frame(berlin["when"].dt.tz_convert("Asia/Tokyo"))
    np.testing.assert_array_equal(encoder.transform(tokyo), encoder.transform(berlin))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_unit_in_which_dates_are_stored_does_not_matter(unit):
    encoder = dense().fit(frame(WHEN))
    stored = frame(WHEN.astype(f"M8[{unit}]"))
    np.testing.assert_array_equal(encoder.transform(stored), encoder.transform(frame(WHEN)))


def test_gaps():
    encoder = dense(encoding="scale").fit(frame([*WHEN, None]))
    names = encoder.get_feature_names_out()
    row = encoder.transform(frame(pd.to_datetime([None])))[0]
    assert set(names[row != 0]) == {
        f"missingindicator_when_{part}" for part in ("days", "month", "weekday", "hour")
    }
    later = dense(encoding="scale").fit(frame(WHEN)).transform(frame(pd.to_datetime([None])))
    np.testing.assert_array_equal(later, np.zeros_like(later))


def test_a_single_row_without_its_date():
    encoder = dense().fit(frame(WHEN.dt.tz_localize("UTC")))
    assert np.isfinite(encoder.transform(frame([None]))).all()


def test_dates_as_objects_and_of_polars_are_the_same_dates():
    days = [datetime.date(2020, 2, 29), None, datetime.date(2021, 7, 1)]
    expected = dense().fit_transform(frame(pd.to_datetime(days)))
    for same in (frame(pd.Series(days, dtype=object)), pl.DataFrame({"when": days})):
        np.testing.assert_array_equal(dense().fit_transform(same), expected)
    array = np.array(days, "M8[D]").reshape(-1, 1)
    np.testing.assert_array_equal(dense().fit_transform(array), expected)


def test_a_date_with_a_time_zone_is_not_one_without():
    encoder = dense().fit(frame(WHEN))
    with pytest.raises(ValueError, match="column 'when' held dates without a time zone in fit and"):
        encoder.transform(frame(WHEN.dt.tz_localize("UTC")))


def test_durations_are_numbers_of_seconds():
    waits = pd.DataFrame({"wait": pd.to_timedelta([1, 60, None, 3600], unit="s")})
    encoder = dense().fit(waits)
    numbers = pd.DataFrame({"wait": [1.0, 60, None, 3600]})
    np.testing.assert_allclose(encoder.transform(waits), dense().fit_transform(numbers))
    assert encoder.get_feature_names_out()[0] == "wait_seconds"
