"""Lets every pytest import what tests/lib has."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "lib"))
