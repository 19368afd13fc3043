from __future__ import annotations

from pathlib import Path

import pytest

from experiments.stats.multiplicity import Adjustment, adjust
from tests.experiments.stats.cases import CLOSED_FORM, cases_of

METHODS = {
    "bonferroni": Adjustment.BONFERRONI,
    "holm": Adjustment.HOLM,
    "holm_bonferroni": Adjustment.HOLM,
    "holm-sidak": Adjustment.HOLM_SIDAK,
    "holm_sidak": Adjustment.HOLM_SIDAK,
    "simes-hochberg": Adjustment.HOCHBERG,
    "hochberg_bonferroni": Adjustment.HOCHBERG,
    "hochberg_sidak": Adjustment.HOCHBERG_SIDAK,
    "fdr_bh": Adjustment.BENJAMINI_HOCHBERG,
    "bh": Adjustment.BENJAMINI_HOCHBERG,
    "fdr_by": Adjustment.BENJAMINI_YEKUTIELI,
    "by": Adjustment.BENJAMINI_YEKUTIELI,
    "fdr_tsbh": Adjustment.TWO_STAGE_BH,
    "fdr_tsbky": Adjustment.TWO_STAGE_BKY,
}


def test_reference_multiple_comparisons__all_cases__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "multiple_comparisons"):
        settings, out = case["settings"], case["outputs"]
        family = adjust(case["input"]["p_values"], method=METHODS[settings["method"]], alpha=settings["alpha"])
        assert family.p_values.tolist() == pytest.approx(out["adjusted"], rel=CLOSED_FORM), case["name"]
        assert family.rejected.tolist() == [bool(flag) for flag in out["reject"]], case["name"]
        if "alpha_adj" in out:
            assert family.thresholds.tolist() == pytest.approx(out["alpha_adj"], rel=CLOSED_FORM), case["name"]
