"""Hot paths answered in front of Django, in the same process and on the same port."""
