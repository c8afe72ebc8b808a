"""With this file here, pytest puts the directory on the import path: `from support import eventually`."""
