"""Study in, result out: the pipelines, and what a pipeline of your own has to be.

Tests: `context` holds types without code; `example` is tested with all examples, in `tests/pipelines/test_examples.py`.
"""

import os

# PyTorch then asks Linux for large pages where it allocates much. Volumes of features are too large to be kept between
# two layers, and most of the time of a fresh one went into its many small pages: convolutions of 32 channels over
# 24 x 128 x 256 voxels reached 421 GFLOP/s on one core without, 515 with.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
