"""Runs for other tools: model cards, trackers, files. Reads run directories only; a tool is imported when asked for."""
