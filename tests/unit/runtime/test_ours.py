"""The check that nobody else's package took one of our names."""

from daemon.runtime.ours import foreign_packages


def test_this_checkout_is_ours() -> None:
    assert foreign_packages() == []


def test_another_product_s_package_is_named() -> None:
    (problem,) = foreign_packages(("pytest",))
    assert "another product's" in problem


def test_a_missing_package_is_named() -> None:
    (problem,) = foreign_packages(("no_such_package_at_all",))
    assert "missing" in problem
