"""The spool on disk in front of the database: an acknowledged batch is a whole line in a segment.

A process appends to a segment of its own and holds a lock on it while it lives; the drainer reads segments of any
process on this host and removes those that are read to the end and whose writer is gone.
"""
