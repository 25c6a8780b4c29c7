"""Tasks on an allocation of RADICAL-Pilot: a host process that talks to it, and the engine that talks to the host."""
