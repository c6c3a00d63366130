"""The cases of bench/multipath_tcp and bench/multipath_verbs, a subject a file."""
