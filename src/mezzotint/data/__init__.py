"""Training data: where images come from, how they are kept, and endless batches that are a function of the step."""
