"""The version, where nothing else is imported: pyproject.toml reads it, too."""

__version__ = "0.1.0"
