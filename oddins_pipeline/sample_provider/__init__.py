"""The sample provider: a local stand-in for API-Football with generated responses.

It shares no code with the rest of the package, so that a mistake in one is seen by the other.
"""

from oddins_pipeline.sample_provider.generator import generate_leagues
from oddins_pipeline.sample_provider.server import SampleProvider

__all__ = ["SampleProvider", "generate_leagues"]
