"""What pole and center agree on: pure code, no I/O, no clock, no thread. Both sides import it."""
