import os
import platform
import subprocess
import sys

import torch

from skdropout._support.scratch import Scratch

# Twelve megabytes that are written to and freed, twenty times: pages that the system hands out.
FREED = """
import resource
import numpy as np
from skdropout._support.scratch import keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        pieces = [np.ones(2**17) for _ in range(12)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = pages()
keep_freed_memory()
pages()
print(first, pages())
"""


def test_a_use_has_its_memory_again():
    scratch, like = Scratch(), torch.zeros(2, dtype=torch.float64)
    first = scratch("a", like, 3, 4).fill_(1.0)
    assert first.dtype == like.dtype
    assert first.shape == (3, 4)
    other = scratch("b", like, 3, 4).fill_(2.0)
    assert (first == 1.0).all()
    assert scratch("a", like, 2, 2).data_ptr() == first.data_ptr()
    assert scratch("a", like, 3, 5).shape == (3, 5)
    assert (other == 2.0).all()


def test_it_is_laid_out_as_a_fresh_tensor_is():
    scratch, like = Scratch(), torch.zeros(2)
    for shape in ((5, 4, 3), (5, 2, 3), (1,), (5, 4, 3)):
        assert scratch("a", like, *shape).is_contiguous()


def test_memory_that_is_freed_is_kept_for_what_is_next():
    command = [sys.executable, "-c", FREED]
    # Dask sets how glibc keeps memory for its workers, which then stays as it is.
    free = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=free)
    before, after = map(int, run.stdout.split())
    # In glibc without it there are 60,000, of 4 KiB each. Elsewhere it may do nothing, but no harm.
    assert after < (1_000 if platform.libc_ver()[0] == "glibc" else 1.1 * before + 1_000)
