"""`mezzotint ARGUMENTS...`, then one line of JSON on stderr: seconds from start to end, and within the network.

python benchmarks/timed_command.py upscale ...
"""

import json
import sys
import time

start = time.perf_counter()

from mezzotint.cli import main  # noqa: E402
from mezzotint.runtimes import openvino  # noqa: E402

within = 0.0


def _timed(method):
    def call(*arguments):
        global within
        began = time.perf_counter()
        try:
            return method(*arguments)
        finally:
            within += time.perf_counter() - began

    return call


openvino.OpenVINO.bytes = _timed(openvino.OpenVINO.bytes)
openvino.OpenVINO.__call__ = _timed(openvino.OpenVINO.__call__)
try:
    main(sys.argv[1:])
finally:
    print(json.dumps({"seconds": time.perf_counter() - start, "network": within}), file=sys.stderr)
