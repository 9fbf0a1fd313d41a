"""Deciding: what a plan would take (cost), which to take (policy), what is true now (observe).

Pure: values in, values out; no torch, no files, no clock.
"""
