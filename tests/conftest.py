"""One thread for everything: on a shared machine two threads that wait for each other take ten times as long as one."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy are imported
