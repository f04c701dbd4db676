"""Camera sources behind one port; the process that sees clear video."""
