"""Decisions for clients, answered in front of Django from memory: OFREP, GrowthBook's payload, remote evaluation."""
