"""Training several models at once: bias models, and a base model that must differ."""
