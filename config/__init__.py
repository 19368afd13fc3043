"""Settings, URLs, Celery and the process group: where the three apps are put together."""
