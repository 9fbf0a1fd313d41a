"""``prism-edge demo``: the whole way through on this machine, from an empty lab to a report.

``phases`` says what is asked, ``client`` asks it from the laptop's side of the lab, ``run`` sets
the stage and changes it, ``summary`` counts.
"""
