"""Side-by-side timings, printed as ratios: `python -m bench`."""
