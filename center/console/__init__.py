"""The web pages of operators, crews and auditors."""
