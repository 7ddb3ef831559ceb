"""The window of hub lags."""

from daemon.runtime.lag import Lag, LagWindow


def test_empty() -> None:
    assert LagWindow().summary(0.0) == Lag(0, 0.0, 0.0, 0.0)


def test_percentiles_by_nearest_rank() -> None:
    window = LagWindow(60.0)
    for number in range(1, 101):
        window.add(float(number) / 10, number / 1000)
    assert window.summary(10.0) == Lag(100, 0.050, 0.099, 0.100)


def test_one_sample_is_every_percentile() -> None:
    window = LagWindow()
    window.add(1.0, 0.25)
    assert window.summary(1.0) == Lag(1, 0.25, 0.25, 0.25)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    window = LagWindow(60.0)
    window.add(0.0, 9.0)
    window.add(50.0, 0.1)
    assert window.summary(60.0).max == 9.0
    assert window.summary(60.1) == Lag(1, 0.1, 0.1, 0.1)
    assert window.summary(200.0).samples == 0
