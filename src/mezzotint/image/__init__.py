"""Images as arrays: reading and writing, colour, resizing, tiling, contact sheets. NumPy and Pillow only."""
