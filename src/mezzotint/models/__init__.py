"""Networks, one per file, each opening with its paper. `__all__` names what recipes and cards may refer to."""
