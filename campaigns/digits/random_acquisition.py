"""Random acquisition, the baseline: every image of the pool is worth the same."""

from acquisition import ask_for
from label import POOL
from workspace import rng

ask_for(rng("random").random(POOL))
