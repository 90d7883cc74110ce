"""Losses as plain functions on tensors; their weights live in recipes."""
