"""Tasks on a pilot of RADICAL-Pilot: the bridge process that talks to it, and the engine that talks to the bridge."""
