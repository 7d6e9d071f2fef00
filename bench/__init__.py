"""
Benchmarks: named workloads against a server on loopback, fetchall beside whichever peers are installed.

`python -m bench --list` shows the workloads; docs/performance.md says what each is and how to repeat the figures.
"""
