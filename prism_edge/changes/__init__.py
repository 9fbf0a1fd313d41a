"""What changed between two profiles: facts first, then measured cells, each with its evidence.

Pure: values in, values out; no torch, no files, no clock.
"""
