"""How often the intervals of `seqsum compare` are wrong where nothing changed. Prints a table; takes a minute.

Both sides are drawn from one distribution, whose deviation between processes is that of a steady machine.
"""

import numpy as np
import pandas as pd

from bench.analysis.compare import ratio_of_medians

PROCESSES = (5, 8, 12, 20)
COMPARISONS, RESAMPLES, SPREAD = 2_000, 999, 0.05


def wrong(processes: int) -> dict[str, str]:
    """Return the share of comparisons, in %, whose interval misses 1, and that of those beyond 1.05."""
    draw = np.random.default_rng(processes)
    ends = [
        ratio_of_medians(*draw.lognormal(sigma=SPREAD, size=(2, processes)), resamples=RESAMPLES)[1]
        for _ in range(COMPARISONS)
    ]
    missing = np.mean([not end.low <= 1 <= end.high for end in ends])
    beyond = np.mean([end.low > 1.05 for end in ends])
    return {"processes": f"{processes}", "miss 1 %": f"{100 * missing:.1f}", "beyond 1.05 %": f"{100 * beyond:.1f}"}


if __name__ == "__main__":
    print(pd.DataFrame([wrong(processes) for processes in PROCESSES]).to_markdown(index=False, disable_numparse=True))
