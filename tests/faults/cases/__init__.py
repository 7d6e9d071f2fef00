"""The table's rows, a file for each group of sections of FAULTS."""
