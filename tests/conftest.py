"""What all tests share."""

import os

# Workers run side by side; threads of their own would only fight over the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
