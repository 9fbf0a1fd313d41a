"""The engine: one process with torch, the models and GLOO, driven through its stdin and stdout.

The daemon, the profiler and ``infer --local-cluster`` drive the same process, on this machine or
through any command that starts one elsewhere (``nsenter``, ``ssh``). It may hang or die; its
drivers never do. ``messages`` is the language, ``main`` the process, ``client`` the driver's end.
"""
