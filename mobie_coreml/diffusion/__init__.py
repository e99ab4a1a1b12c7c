"""The mathematics once: noise schedules, samplers, guidance and the specified noise generator."""
