"""The criterion: how many steps the policy keeps the pole up, on average over 20 episodes that no training has used."""

import random
from statistics import mean

from cartpole import play
from workspace import SEED, load

policy = load("policy")["play"]
print(mean(play(policy, random.Random(f"{SEED} test {number}")) for number in range(20)))
