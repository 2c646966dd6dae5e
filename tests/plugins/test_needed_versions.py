"""The versions of lmkit that a plugin asks for."""

from __future__ import annotations

import pytest

from lmkit.errors import LmkitError
from lmkit.plugins.versions import fits, needed_versions


@pytest.mark.parametrize(
    ("requirements", "needed"),
    [
        ((), None),
        (("torch>=2",), None),
        (("lmkit",), None),
        (("torch", "lmkit>=0.1"), ">=0.1"),
        (("LMKIT >= 0.1",), ">= 0.1"),
        (("lmkit-starter>=3", "lmkit<2,>=1"), "<2,>=1"),
        (("lmkit.extra>=3",), None),
        (("lmkit2>=3",), None),
        (("lmkit>=0.1; python_version >= '3'",), ">=0.1"),
        (("lmkit>=9; python_version < '3'",), None),
        (("lmkit[hub]>=0.2",), ">=0.2"),
        (("lmkit >>= nonsense",), None),
    ],
)
def test_a_distribution_says_which_it_needs(requirements: tuple[str, ...], needed: str | None) -> None:
    assert needed_versions(requirements) == needed


@pytest.mark.parametrize(
    ("needed", "version", "fit"),
    [
        (">=0.1", "0.1.0", True),
        (">=0.1.0", "0.1", True),
        (">= 0.1.1", "0.1.0", False),
        (">=0.9", "0.10.0", True),
        (">=1", "0.10.0", False),
        (">=0.2", "0.2.0.dev1", False),
        ("<0.2,>=0.1", "0.1.5", True),
        ("~=0.1.2", "0.2", False),
    ],
)
def test_a_version_fits_or_not(needed: str, version: str, fit: bool) -> None:
    assert fits(needed, version) is fit


def test_what_is_no_range_is_refused() -> None:
    with pytest.raises(LmkitError, match="'1.x', which is no range of versions"):
        fits("1.x", "0.1")
