"""Metrics as plain functions on arrays; the protocol is part of each name."""
