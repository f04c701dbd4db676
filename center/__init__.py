"""The reference control center: ingest, custodian, alarms, console."""
