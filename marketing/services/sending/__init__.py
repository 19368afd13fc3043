"""Sending: audience frozen → outbox → re-check → exposure → provider; and what stops a message for good."""
