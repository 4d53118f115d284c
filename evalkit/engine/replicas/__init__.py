"""More than one copy of a model: Ray actors that answer, one driver that asks, judges and writes."""
