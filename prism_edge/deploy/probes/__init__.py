"""What boards are asked: one shell command and one pure parser per fact.

A parser takes what was printed, ``""`` where the command failed, and gives ``None`` for nonsense.
"""
