"""Holds the keys that open segments, and the reasons for which they were used."""
