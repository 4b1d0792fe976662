"""What all tests share."""

import os

# Workers run side by side; threads of their own would only fight over the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    """`pytest tests/end_to_end/test_random_networks.py --networks 1000` for a long search."""
    parser.addoption("--networks", type=int, default=50, help="how many random networks to try")
