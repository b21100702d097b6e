"""One file per paper: what it claims, the runs, the verdict."""
