# Filled in by the install rules: headers, libraries, the weft command, the plugin and find_package(weft).
