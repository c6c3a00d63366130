"""The cases of bench/multipath_tcp, a subject a file."""
