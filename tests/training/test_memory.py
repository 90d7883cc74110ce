import platform

import pytest
import torch

from mezzotint.training import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")
def test_within_what_is_freed_is_taken_again_without_page_faults():
    import resource

    def step():
        maps = [torch.ones(2**20) for _ in range(24)]  # 4 MiB each
        del maps

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        step()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    with memory.kept():
        step()
        within = min(faults() for _ in range(3))
    # By now all has gone back: 96 MiB, in pages of whatever size.
    assert 10 * within < faults()
