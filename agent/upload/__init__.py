"""From the spool to the center over the dedicated link, and away after the receipt."""
