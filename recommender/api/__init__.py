"""The management API of this app, mounted under /api/v1/."""
