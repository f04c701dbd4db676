"""Shared rigs of the tests: real brokers, certificates, small videos."""
