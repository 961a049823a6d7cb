"""What the commands print in a terminal."""

from balltrain.reporting.terminal.comparison import print_comparison
from balltrain.reporting.terminal.forecast import print_forecast
from balltrain.reporting.terminal.results import print_results
from balltrain.reporting.terminal.sweeps import print_sweeps

__all__ = ["print_comparison", "print_forecast", "print_results", "print_sweeps"]
