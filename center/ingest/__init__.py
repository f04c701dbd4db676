"""Receives sealed segments and records, answers with receipts."""
